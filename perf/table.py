"""A result as a table in Markdown: ``python -m perf.table [RESULT] [--into README.md]``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from perf.goals import OURS, Verdict, judge
from perf.measuring import MB
from perf.results import Measured, Result, load

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
RESULTS = Path(__file__).with_name("results")

_PEER = "restic"
_JOBS = {
    "full": "first backup, local",
    "cold": "first backup, cold cache",
    "unchanged": "nothing changed",
    "changed": "1 % changed",
    "restore": "restore, local",
    "check": "check of all data",
    "s3-full": "first backup, S3",
    "s3-restore": "restore, S3",
}
_ALONE = {
    "large-backup": "small backup into a vault of very many chunks",
    "large-first": "first restore of one file from it on another machine",
    "large-restore": "further restores of one file from it",
    "version": "`vaultctl version`",
    "help": "the help of `vaultctl`",
    "snapshots": "`vaultctl snapshots`, 1,000 snapshots",
}


def table(result: Result) -> str:
    """Return everything that a reader of the project wants to know of a result."""
    lines = [_title(result), ""]
    if pairs := list(_pairs(result)):
        names = ("job", "data", "vaultd", "restic", "times as fast", "processor time", "memory")
        lines += [f"| {' | '.join(names)} | stored |", f"|{' --- |' * 8}", *pairs, ""]
    if alone := list(_singles(result)):
        lines += ["| job | time | memory |", "| --- | --- | --- |", *alone, ""]
    lines += [f"{name}: {text}." for name, text in result.workloads.items()]
    return "\n".join(lines).rstrip() + "\n"


def _title(result: Result) -> str:
    named = [f"{name} {version}" for name, version in result.programs.items()]
    machine = result.machine
    return (
        f"{', '.join(named)} on {machine['cores']} cores ({machine['processor']}) with "
        f"{machine['memory_gib']} GiB, {result.taken_at[:10]}. Times are medians; memory is the "
        "peak of the largest process; where there are two numbers, the second is restic's."
    )


def _pairs(result: Result) -> Iterator[str]:
    for job, words in _JOBS.items():
        for ours in result.measurements:
            if (ours.job, ours.program) == (job, OURS):
                yield _pair(words, ours, result.find(job, ours.workload, _PEER))


def _pair(words: str, ours: Measured, peer: Measured | None) -> str:
    begin = f"| {words} | {ours.workload} | {_seconds(ours.wall)} |"
    if peer is None:
        stored = f"{ours.stored / MB:,.0f} MB" if ours.stored else ""
        return f"{begin} - | - | - | {ours.rss / MB:.0f} MB | {stored} |"
    stored = f"{ours.stored / MB:,.0f} / {peer.stored / MB:,.0f} MB" if ours.stored else ""
    return (
        f"{begin} {_seconds(peer.wall)} | **{peer.wall / ours.wall:.1f}** | "
        f"{ours.cpu:.1f} / {peer.cpu:.1f} s | {ours.rss / MB:.0f} / {peer.rss / MB:.0f} MB | "
        f"{stored} |"
    )


def _singles(result: Result) -> Iterator[str]:
    for job, words in _ALONE.items():
        for ours in result.measurements:
            if (ours.job, ours.program) == (job, OURS):
                yield f"| {words} | {_seconds(ours.wall)} | {ours.rss / MB:.0f} MB |"


def _seconds(wall_s: float) -> str:
    return f"{wall_s * 1000:.0f} ms" if wall_s < 1 else f"{wall_s:.1f} s"


def verdicts(result: Result) -> str:
    """Return the goals that were measured, missed ones first."""
    judged = [verdict for verdict in judge(result) if verdict.met is not None]
    missed = [verdict for verdict in judged if not verdict.met]
    lines = [str(verdict) for verdict in sorted(judged, key=_misses_first)]
    return "\n".join([*lines, f"{len(judged) - len(missed)} of {len(judged)} goals are met"])


def _misses_first(verdict: Verdict) -> bool:
    return bool(verdict.met)


def put_into(text: str, page: Path) -> bool:
    """Put a table between the markers of a page; tell whether it has them."""
    found = page.read_text(encoding="utf-8")
    head, begin, rest = found.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        return False
    page.write_text(f"{head}{BEGIN}\n{text}{END}{tail}", encoding="utf-8")
    return True


def newest(folder: Path = RESULTS) -> Path:
    """Return the newest result of a folder.

    Raises:
        SystemExit: There is none.
    """
    found = sorted(folder.glob("*.json"))
    if not found:
        raise SystemExit(f"{folder}: no results; `make perf` makes one")
    return found[-1]


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Show a result as a table in Markdown.")
    parser.add_argument("result", type=Path, nargs="?", help="the newest one by default")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="put it between its markers")
    chosen = parser.parse_args()
    text = table(load(chosen.result or newest()))
    if chosen.into is None:
        print(text, end="")
    elif not put_into(text, chosen.into):
        raise SystemExit(f"{chosen.into}: does not have {BEGIN} and {END}")


if __name__ == "__main__":
    main()
