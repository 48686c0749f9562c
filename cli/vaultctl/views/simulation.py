"""What a policy would hold over time."""

from __future__ import annotations

from vaultctl import json_lines
from vaultctl.output import Output
from vaultctl.text import local, plural, zone
from vaultctl.views.retention import show_rows
from vaultd.policy.retention import RetentionPolicy, Verdict
from vaultd.policy.simulation import Sample, Simulation

_LINES, _SHOWN = 12, 60
_DAY_S = 86_400


def show(output: Output, policy: RetentionPolicy, result: Simulation) -> None:
    """Write what is held from time to time, what is held in the end and why."""
    for warning in policy.warnings():
        output.warn(warning)
    if output.json:
        _record(output, policy, result)
        return
    output.line(f"policy: {policy.words()}, days of {policy.timezone}\n")
    _show_samples(output, result)
    _show_held(output, result)
    last, most = result.samples[-1], max(result.samples, key=lambda sample: sample.held)
    output.line(
        f"\nof {plural(result.made, 'snapshot')} made, {last.held:,} are held, "
        f"{last.chained:,} of them only because a kept one was built on them; "
        f"most were held on day {most.day:,}: {most.held:,}"
    )


def _record(output: Output, policy: RetentionPolicy, result: Simulation) -> None:
    for sample in result.samples:
        output.record("sample", _fields(sample))
    for verdict in result.held:
        one = verdict.candidate
        fields = {"seq": one.session.seq, "time": json_lines.instant(one.committed_ns)}
        output.record("held", {**fields, "kind": str(one.kind), "reasons": list(verdict.reasons)})
    summary = {"policy": policy.words(), "timezone": policy.timezone, "made": result.made}
    most = max(sample.held for sample in result.samples)
    output.record("summary", {**summary, "most_held": most, **_fields(result.samples[-1])})


def _fields(sample: Sample) -> dict[str, object]:
    return {
        "day": sample.day,
        "held": sample.held,
        "full": sample.fulls,
        "differential": sample.differentials,
        "incremental": sample.incrementals,
        "only_for_a_chain": sample.chained,
        "oldest_age_s": sample.oldest_s,
    }


def _show_samples(output: Output, result: Simulation) -> None:
    count = len(result.samples)
    days = sorted({count * line // _LINES for line in range(1, _LINES + 1)} - {0})
    headings = ("Day", "Held", "Full", "Diff", "Incr", "Chain only", "Oldest")
    rows = []
    for sample in (result.samples[day - 1] for day in days):
        numbers = [sample.day, sample.held, sample.fulls, sample.differentials]
        numbers += [sample.incrementals, sample.chained]
        rows.append([f"{number:,}" for number in numbers] + [_days(sample.oldest_s)])
    show_rows(output, dict.fromkeys(headings, True), rows)


def _show_held(output: Output, result: Simulation) -> None:
    shown = result.held if output.verbose else result.held[-_SHOWN:]
    headings = {f"Made ({zone(result.end_ns)})": False, "Age": True, "Kind": False, "Why": False}
    output.line()
    if len(shown) < len(result.held):
        output.line(f"{len(result.held) - len(shown):,} older ones are not listed: -v lists all")
    show_rows(output, headings, [_row(verdict, result.end_ns) for verdict in shown])


def _row(verdict: Verdict, end_ns: int) -> list[str]:
    one = verdict.candidate
    age_s = (end_ns - one.committed_ns) // 10**9
    made = local(one.committed_ns)[:16]
    return [made, _days(age_s), str(one.kind)[:4], "; ".join(verdict.reasons)]


def _days(seconds: int) -> str:
    return f"{seconds / _DAY_S:,.1f} d"
