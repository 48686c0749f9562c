"""Everybody at once, and all of them die now and then: ``python -m tests.soak.soak --minutes 10``.

Hosts back up, keepers forget and prune, restorers bring back what was committed and compare every
byte, all as processes of the real `vaultctl` on one bucket of a real server. Processes are killed
and suspended at any moment, and so is the server. In the end everything that was committed and not
forgotten must be there and restore to what it was, and nothing may be left that nobody needs.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.cli import Done, Home, Machine, make_home
from tests.support.seaweed import Seaweed

Facts = dict[str, str]

_KEPT = 3
_PATIENCE_S = 600
_CONFIG = """
[keeper]
recall = "0s"
wait = "0s"
revoke_after = "20s"
max_share = 1.0
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many of what, for how long.

    Attributes:
        seconds: How long work goes on.
        hosts: How many back up.
        keepers: How many forget and prune.
        restorers: How many restore.
        server_dies_s: The server is killed after so many seconds, again and again.
        seed: Of everything that is drawn.
    """

    seconds: float
    hosts: int = 16
    keepers: int = 2
    restorers: int = 4
    server_dies_s: float = 60
    seed: int = 1


@dataclass
class Tally:
    """What happened; used by many threads.

    Attributes:
        counts: How often.
        wrong: What must not happen, in words.
        committed: Every snapshot that a backup has reported, and what it must hold.
        forgotten: Every snapshot that somebody began to forget.
    """

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    committed: dict[str, Facts] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str, by: int = 1) -> None:
        """Count something."""
        with self.lock:
            self.counts[what] += by

    def fail(self, text: str) -> None:
        """Note something that must not happen."""
        with self.lock:
            self.wrong.append(text)
        print(f"WRONG: {text}", file=sys.stderr, flush=True)


class Soak:
    """One soak.

    Args:
        folder: An empty folder for everything.
        plan: How much of it.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._folder = folder
        self._plan = plan
        self._stop = threading.Event()
        self.tally = Tally()

    def run(self) -> Tally:
        """Run it, and return what happened; `Tally.wrong` must be empty."""
        with Seaweed() as seaweed:
            home = self._make_vault(seaweed)
            jobs = self._jobs(home)
            threads = [threading.Thread(target=self._guarded, args=(job,)) for job in jobs]
            for thread in threads:
                thread.start()
            self._trouble(seaweed)
            self._stop.set()
            for thread in threads:
                thread.join()
            self._finish(home)
        return self.tally

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # noqa: BLE001 - a thread that dies must not go unnoticed
            self.tally.fail(f"{type(error).__name__}: {error}")

    # The scene

    def _make_vault(self, seaweed: Seaweed) -> Home:
        config = self._folder / "vaultd.toml"
        config.write_text(_CONFIG)
        return make_home(
            self._folder,
            f"s3:{seaweed.endpoint}/{seaweed.bucket}/{seaweed.prefix()}",
            AWS_ACCESS_KEY_ID=seaweed.access_key,
            AWS_SECRET_ACCESS_KEY=seaweed.secret_key,
            VAULTD_CONFIG=str(config),
        )

    def _jobs(self, home: Home) -> list[Callable[[], None]]:
        place = ("-r", home.location, "--fingerprint", home.fingerprint)
        jobs: list[Callable[[], None]] = []
        for number in range(self._plan.hosts):
            machine = home.machine(f"host{number}")
            machine.ok("host", "enrol", "--here", f"host{number}", *place, *home.admin)
            jobs.append(Host(self, machine, number).work)
        for number in range(self._plan.keepers):
            machine = home.machine(f"keeper{number}")
            name = ("--keeper", f"keeper{number}")
            machine.ok("host", "enrol", "--here", *name, *place, *home.admin, *home.key)
            jobs.append(Keeper(self, machine, number).work)
        for number in range(self._plan.restorers):
            machine = home.machine(f"restorer{number}")
            machine.ok("snapshots", *place)
            jobs.append(Restorer(self, machine, number, home.key).work)
        return jobs

    def _trouble(self, seaweed: Seaweed) -> None:
        source = random.Random(self._plan.seed)
        end = time.monotonic() + self._plan.seconds
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(left, self._plan.server_dies_s * source.uniform(0.5, 1.5)))
            if time.monotonic() < end:
                seaweed.kill()
                time.sleep(source.uniform(0, 3))
                seaweed.restart()
                self.tally.count("server killed")

    def source(self, number: int) -> random.Random:
        """Return a source for one worker."""
        return random.Random(self._plan.seed * 1000 + number)

    @property
    def stopped(self) -> bool:
        """Whether work is over."""
        return self._stop.is_set()

    def run_shakily(self, machine: Machine, source: random.Random, *words: object) -> Done | None:
        """Run `vaultctl`, which is suspended now and then, or killed: then return ``None``."""
        process = machine.start(*words)
        fate = source.random()
        if fate < 0.3:
            time.sleep(source.expovariate(1 / 0.8))
            if fate < 0.15:
                process.send_signal(signal.SIGSTOP)
                time.sleep(source.uniform(0, 25 if fate < 0.02 else 3))
                process.send_signal(signal.SIGCONT)
                self.tally.count("suspended")
            else:
                process.kill()
        out, err = process.communicate(timeout=_PATIENCE_S)
        if process.returncode == -signal.SIGKILL:
            self.tally.count("killed")
            return None
        return Done(code=process.returncode, out=out, err=err.decode())

    # The end

    def _finish(self, home: Home) -> None:
        tally = self.tally
        listed = {line["id"] for line in home.json("snapshots", *home.key).of_type("snapshot")}
        for lost in tally.committed.keys() - tally.forgotten - listed:
            tally.fail(f"snapshot {lost[:8]} was committed and is not listed")
        checked = home.run("check", "--read-data", *home.key)
        if checked.code:
            tally.fail(f"check ended with {checked.code}: {checked.text}{checked.err}")
        for snapshot in sorted(listed & tally.committed.keys()):
            self.compare(home, snapshot, *home.key)
            tally.count("restored in the end")
        keeper = Machine(folder=self._folder / "keeper0", environment=home.environment)
        keeper.ok("prune", "-r", home.location, "--revoke-after", "0s")
        keeper.ok("prune", "-r", home.location, "--revoke-after", "0s")
        left = keeper.json("prune", "-r", home.location, "--dry-run").of_type("plan")
        for line in left:
            if line["condemn_packs"] or line["left_to_delete"]:
                tally.fail(f"something is left that nobody needs: {line}")

    def compare(self, machine: Machine, snapshot: str, *key: str) -> bool:
        """Restore a snapshot; tell whether it is what was committed."""
        target = Path(tempfile.mkdtemp(dir=machine.folder))
        done = machine.run("restore", snapshot, "--target", target, *key)
        try:
            if done.code == 0 and facts_below(target) == self.tally.committed[snapshot]:
                return True
            if snapshot not in self.tally.forgotten:
                what = f"ended with {done.code}: {done.err}" if done.code else "is not the same"
                self.tally.fail(f"restore of {snapshot[:8]} {what}")
            return False
        finally:
            shutil.rmtree(target, ignore_errors=True)


@dataclass
class Host:
    """A host that backs up its folder again and again."""

    soak: Soak
    machine: Machine
    number: int

    def work(self) -> None:
        source = self.soak.source(self.number)
        tree = self.machine.folder / "data"
        tree.mkdir()
        for number in range(20):
            (tree / f"{number:02d}").write_bytes(source.randbytes(source.randrange(20_000)))
        while not self.soak.stopped:
            for _ in range(3):
                name = tree / f"{source.randrange(25):02d}"
                name.write_bytes(source.randbytes(source.randrange(60_000)))
            (tree / "large").write_bytes(source.randbytes(700_000))
            kinds = ("auto", "incremental", "differential", "full", "full")
            facts = {str(path.relative_to(tree)): digest(path) for path in tree.iterdir()}
            words = ("--name", "crm", tree, "--kind", source.choice(kinds), "--json")
            done = self.soak.run_shakily(self.machine, source, "backup", *words)
            if done is None:
                continue
            if done.code:
                self.soak.tally.fail(f"backup ended with {done.code}: {done.err}")
                continue
            with self.soak.tally.lock:
                self.soak.tally.committed[done.summary["snapshot_id"]] = facts
            self.soak.tally.count("backups")
            time.sleep(source.uniform(0, 2))


@dataclass
class Keeper:
    """A keeper that keeps the newest few snapshots of each host, and prunes."""

    soak: Soak
    machine: Machine
    number: int

    def work(self) -> None:
        source = self.soak.source(100 + self.number)
        tally = self.soak.tally
        while not self.soak.stopped:
            listed = self.soak.run_shakily(self.machine, source, "snapshots", "--json")
            if listed is not None and listed.code == 0:
                doomed = self._too_many(listed)
                with tally.lock:
                    tally.forgotten.update(doomed)
                if doomed:
                    self.soak.run_shakily(self.machine, source, "forget", "--yes", *doomed)
            done = self.soak.run_shakily(self.machine, source, "prune", "--json")
            if done is None:
                continue
            if done.code:
                tally.fail(f"prune ended with {done.code}: {done.err}")
                continue
            for what in ("objects_deleted", "packs_condemned", "packs_rescued"):
                tally.count(what.replace("_", " "), done.summary[what])
            tally.count("sessions closed", len(done.summary["sessions_closed"]))
            tally.count("prunes")

    def _too_many(self, listed: Done) -> list[str]:
        by_host: dict[str, list[str]] = {}
        for line in listed.of_type("snapshot"):
            by_host.setdefault(line["host"], []).append(line["id"])
        return [one for ids in by_host.values() for one in ids[:-_KEPT]]


@dataclass
class Restorer:
    """Somebody who restores what was committed lately."""

    soak: Soak
    machine: Machine
    number: int
    key: tuple[str, ...]

    def work(self) -> None:
        source = self.soak.source(200 + self.number)
        tally = self.soak.tally
        while not self.soak.stopped:
            with tally.lock:
                live = sorted(tally.committed.keys() - tally.forgotten)
            if not live:
                time.sleep(0.5)
                continue
            if self.soak.compare(self.machine, source.choice(live), *self.key):
                tally.count("restores")


def digest(path: Path) -> str:
    """Return what a file's contents are compared by."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def facts_below(target: Path) -> Facts:
    """Return the files of the one folder that was restored."""
    return {path.name: digest(path) for path in target.rglob("data/*")}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Everybody at once, and all die now and then.")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--hosts", type=int, default=16)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    plan = Plan(seconds=60 * chosen.minutes, hosts=chosen.hosts, seed=chosen.seed)
    with tempfile.TemporaryDirectory(prefix="vaultd-soak-") as folder:
        tally = Soak(Path(folder), plan).run()
    for what, count in sorted(tally.counts.items()):
        print(f"{count:8,} {what}")
    print(f"{len(tally.wrong):8,} things wrong")
    sys.exit(1 if tally.wrong else 0)


if __name__ == "__main__":
    main()
