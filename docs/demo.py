"""See a backup and a restore: what `make demo` runs, from end to end, with nothing pretended.

A small company's folder is backed up with the `vaultctl` program into a vault in a folder: a full
snapshot, a differential, an incremental. Then somebody runs `rm -rf`. Every recovery point is
brought back and compared byte for byte, on a "new machine" with nothing but the 24 words, and with
the rescue reader that knows nothing of vaultd. Then the same against a real S3 server.

Everything lies in `.demo/`, which is made anew each time and left there to look at. Nothing leaves
this machine. The exit code is 0 only when everything came back as it was.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from demo_stage import DemoError, Facts, Stage

from perf.workloads import change, customer
from tests.support.seaweed import Seaweed

CHECKOUT = Path(__file__).resolve().parents[1]
RESCUE = CHECKOUT / "docs" / "rescue" / "vault_rescue.py"
KEY = "words.txt"
"""The 24 words, as somebody has typed them off the sheet."""


class Point(NamedTuple):
    """An instant that a restore must be able to bring back."""

    kind: str
    instant: str
    facts: dict[str, Facts]


def main() -> int:
    """Play it all, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--local-only", action="store_true", help="leave out the S3 server")
    parser.add_argument("--folder", type=Path, help="a new one to play in, instead of .demo")
    chosen = parser.parse_args()
    began = time.monotonic()
    if chosen.folder is None:
        shutil.rmtree(CHECKOUT / ".demo", ignore_errors=True)
    folder: Path = (chosen.folder or CHECKOUT / ".demo").absolute()
    stages = [_stage(folder / "local")]
    try:
        local(stages[0])
        if not chosen.local_only:
            stages.append(_stage(folder / "s3"))
            bucket(stages[1])
    except (DemoError, RuntimeError) as failure:  # the latter: the server does not start
        stages[-1].wrong(f"{failure}; everything is left in {folder}")
        return 1
    _close(stages, folder, time.monotonic() - began)
    return 0


def local(stage: Stage) -> None:
    """Play the part with a vault in a folder."""
    stage.chapter("A vault in a folder")
    stage.export(VAULTD_VAULT="vault", VAULTD_STATE_DIR="state")
    fingerprint = make_vault(stage)
    stage.chapter("Full, differential, incremental")
    points = back_up_days(stage)
    stage.chapter("Somebody runs rm -rf")
    lose(stage)
    stage.chapter("Who may read it? Not the machine that wrote it")
    stage.run("vaultctl restore latest -t stolen", expect=12)
    if (stage.folder / "stolen").exists():
        raise DemoError("a refused restore left something behind")
    stage.right("a thief of this machine cannot read its backups; a recovery key can")
    stage.chapter("Every recovery point comes back")
    bring_back(stage, points)
    stage.chapter("This machine is gone: a new one, and the 24 words")
    strangers(stage, points[0], fingerprint)
    stage.chapter("Is the vault whole? And would damage be noticed?")
    examine(stage)


def bucket(stage: Stage) -> None:
    """Play the part with a vault in a bucket of an S3 server that runs here meanwhile."""
    stage.chapter("The same in a bucket: SeaweedFS, started here for this demonstration")
    with Seaweed() as server:
        stage.export(
            AWS_ACCESS_KEY_ID=server.access_key,
            AWS_SECRET_ACCESS_KEY=server.secret_key,
            VAULTD_STATE_DIR="state",
            VAULTD_VAULT=f"s3:{server.endpoint}/{server.bucket}/crm",
        )
        make_vault(stage)
        points = back_up_days(stage)
        lose(stage)
        bring_back(stage, points)
        stage.run("vaultctl check --read-data")


def make_vault(stage: Stage) -> str:
    """Make a vault, try its key, and return its fingerprint."""
    passphrase = stage.folder / "passphrase.txt"
    passphrase.touch(mode=0o600)
    passphrase.write_text("seven otters share one umbrella\n", encoding="utf-8")
    said = stage.run("vaultctl init --host web1 --kit kit --passphrase-file passphrase.txt")
    fingerprint = re.search(r"Fingerprint.*?((?:[a-z2-7]{4}-){4}[a-z2-7]{4})", said)
    sheet = (stage.folder / "kit/recovery-paper-sheet.txt").read_text(encoding="utf-8")
    words = [word for _, word in sorted(_numbered(sheet))]
    if fingerprint is None or len(words) != 24:  # noqa: PLR2004 - BIP-39 for 256 bits
        raise DemoError("the sheet has no 24 words, or init shows no fingerprint")
    typed = stage.folder / KEY
    typed.touch(mode=0o600)
    typed.write_text(" ".join(words) + "\n", encoding="utf-8")
    stage.tell(f"The kit goes into a safe. {KEY} holds the 24 words, typed off the paper sheet.")
    stage.run(f"vaultctl key test --recovery-key-file {KEY}")
    return fingerprint[1]


def back_up_days(stage: Stage) -> list[Point]:
    """Make data, back it up on three days, and return what was there on each."""
    crm = stage.folder / "crm"
    customer(crm)
    _add_oddities(crm)
    points = []
    for day, (kind, option) in enumerate(
        (("full", ""), ("differential", "--kind differential "), ("incremental", ""))
    ):
        if day:
            done = change(crm, 0.05, seed=day)
            stage.tell(
                f"A day's work in crm/: {done.altered} files altered, {done.added} added, "
                f"{done.removed} removed."
            )
        facts = stage.remember("crm")
        stage.run(f"vaultctl backup {option}--name crm crm")
        points.append(Point(kind, _now(), facts))
    return points


def lose(stage: Stage) -> None:
    """Delete data, and let the next backup run as if nothing had happened."""
    stage.run("rm -rf crm/accounts crm/contracts crm/crm.sqlite")
    stage.tell(
        "The nightly backup runs all the same. It takes the loss along, and forgets nothing."
    )
    stage.run("vaultctl backup --name crm crm")
    stage.run("vaultctl snapshots")


def bring_back(stage: Stage, points: list[Point]) -> None:
    """Restore every point: the newest in place, the others beside it."""
    stage.export(VAULTD_RECOVERY_KEY_FILE=KEY)
    for number, point in enumerate(points[:-1], 1):
        stage.run(f"vaultctl restore latest:$PWD/crm --at {point.instant} -t day{number}")
        stage.compare(point.facts, f"day{number}", f"day {number}, from the {point.kind} snapshot")
    last = points[-1]
    stage.tell("In place: what is still right stays, what is missing or changed comes back.")
    stage.run(
        f"vaultctl restore latest:$PWD/crm --at {last.instant} -t crm "
        "--overwrite if-changed --delete --verify"
    )
    stage.compare(last.facts, "crm", f"the minute before the rm -rf, {last.kind} snapshot")


def strangers(stage: Stage, point: Point, fingerprint: str) -> None:
    """Restore without anything that this machine knows, and without vaultd."""
    stage.run(
        f"vaultctl restore latest:$PWD/crm --at {point.instant} -t anew "
        f"--state-dir new-machine --fingerprint {fingerprint}"
    )
    stage.compare(point.facts, "anew", "on a machine that never saw this vault")
    stage.tell("And if vaultd itself were gone: one file, written from the format's description.")
    shutil.copy(RESCUE, stage.folder)
    rescue = f"python vault_rescue.py vault --key {KEY} --fingerprint {fingerprint}"
    said = stage.run(rescue)
    (first, *_), *_ = (line.split() for line in said.splitlines() if " full " in line)
    stage.run(
        f"python vault_rescue.py vault --key words.txt --fingerprint {fingerprint} {first} rescued"
    )
    place = f"rescued/{(stage.folder / 'crm').relative_to('/')}"
    stage.compare(point.facts, place, "by the rescue reader, which is not vaultd")


def examine(stage: Stage) -> None:
    """Check the vault; then damage a copy of it, and see that this is found."""
    stage.run("vaultctl check --read-data")
    stage.run("cp -r vault damaged")
    packs = sorted((stage.folder / "damaged/packs").rglob("*/*"), key=lambda path: path.name)
    victim = max((path for path in packs if path.is_file()), key=lambda path: path.stat().st_size)
    victim.chmod(0o600)
    with victim.open("r+b") as file:
        file.seek(victim.stat().st_size // 2)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
    stage.tell("One bit of one pack in the copy is turned over.")
    stage.run("vaultctl check --read-data -r damaged", expect=20)
    stage.right("one wrong bit is found, and the snapshots and files that it costs are named")


def _stage(folder: Path) -> Stage:
    folder.mkdir(parents=True)  # never one that is there: what is restored in place is deleted too
    return Stage(folder)


def _numbered(sheet: str) -> list[tuple[int, str]]:
    """Return the numbered words of a sheet, by their numbers."""
    _, _, rest = sheet.partition("in this order:")
    words, _, _ = rest.partition("Which vault:")
    return [(int(number), word) for number, word in re.findall(r"(\d+) +([a-z]+)", words)]


def _add_oddities(crm: Path) -> None:
    """Add what careless backups lose: a second name, rights, an old time, an attribute, a hole."""
    (crm / "invoices/first.json").hardlink_to(crm / "invoices/2026/invoice-00001.json")
    (crm / "crm.sqlite").chmod(0o640)
    os.utime(crm / "accounts/2026-01.csv", ns=(0, 981_173_106_123_456_789))
    with contextlib.suppress(OSError):  # a file system without attributes
        os.setxattr(crm / "contracts", "user.retention", b"ten years")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _close(stages: list[Stage], folder: Path, took_s: float) -> None:
    compared = sum(stage.compared for stage in stages)
    files = sum(stage.files for stage in stages)
    data = sum(stage.data for stage in stages) / 1e6
    where = "a folder and an S3 bucket" if len(stages) > 1 else "a folder"
    stage = stages[-1]
    stage.chapter("Proved")
    stage.right(
        f"{compared} restores from {where}: {files:,} files, {data:,.0f} MB, each byte, hole, link,"
        " owner, mode, time and attribute as it was"
    )
    stage.right("the machine that makes backups cannot read them; one wrong bit is found")
    print(f"\nAll of it in {took_s:.0f} s. Look around: ls {shlex.quote(os.path.relpath(folder))}")


if __name__ == "__main__":
    sys.exit(main())
