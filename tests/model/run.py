"""Try every order of steps of the protocol of FORMAT.md 10.1 in small worlds, with Spin.

    python -m tests.model.run       (or `make model`; with --deep: some minutes more)

The protocol must lose nothing in any of the worlds; each mutant, which breaks one of its rules,
must be found to lose something: a model that finds nothing shows nothing. Spin is taken from the
path, or fetched as Debian's package into .tools/ without being installed; gcc or clang compiles.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from vaultd.pipeline.workers import Crew

MODEL = Path(__file__).with_name("vault-gc.pml")
TOOLS = Path(__file__).parents[2] / ".tools"
AT_ONCE = 2
TOO_LONG_S = 300


class World(NamedTuple):
    """One search: what there is in it, and the rule that is broken, if any."""

    what: str
    options: str = ""
    mutant: str = ""


class Outcome(NamedTuple):
    """What a search found: ``loses`` is what Spin says is violated; empty for nothing."""

    world: World
    loses: str
    states: int
    seconds: float


_TWO_KEEPERS = "-DNK=2 -DSPW=1 -DFORGOTTEN=1"
WORLDS = (
    World("two sessions of a host, a keeper, a forget, a recall"),
    World("checkpoints, and a host that sends its root twice", "-DCHECKPOINTS -DRETRY"),
    World("two forgets, one of them after a recall", "-DSPW=1 -DFORGETS=2 -DRECALLS=2"),
    World("a keeper that prunes twice", "-DROUNDS=2 -DRECALLS=0"),
    World("two sessions at once", "-DNW=2 -DSPW=1"),
    World("two old snapshots, two recalls", "-DNO=2 -DFORGETS=2 -DRECALLS=2 -DSPW=1"),
    World("two keepers", _TWO_KEEPERS),
)
DEEP = (
    World("a host that sends its root twice", "-DRETRY"),
    World("two keepers, checkpoints", f"{_TWO_KEEPERS} -DCHECKPOINTS"),
    World("two sessions, two forgets, two recalls", "-DFORGETS=2 -DRECALLS=2"),
    World("a keeper that prunes twice, a recall", "-DROUNDS=2"),
    World("two keepers, nothing forgotten yet", "-DNK=2 -DSPW=1"),
    World("two keepers, two sessions", "-DNK=2 -DFORGOTTEN=1 -DRECALLS=0"),
)
"""Some minutes, and 3 GiB."""

MUTANTS = (
    World("a keeper does not wait for sessions", mutant="NO_WAIT"),
    World("a host reads the log before its intent exists", mutant="LOG_BEFORE_INTENT"),
    World("a keeper sweeps by its first look", mutant="NO_SECOND_LOOK"),
    World("a root replaces a revocation", mutant="UNCONDITIONAL_COMMIT"),
    World("a rescue ends other condemnations too", _TWO_KEEPERS, "SHARED_RESCUE"),
    World("revocations are deleted", mutant="DELETE_CLOSED"),
    World("the list of intents is an old one", mutant="STALE_LIST"),
    World("the log forgets what was swept", mutant="DROP_SWEEPS"),
    World("a second sweep counts", _TWO_KEEPERS, "SECOND_SWEEP_COUNTS"),
    World("a sweep follows any entry", mutant="SWEEP_OUT_OF_ORDER"),
    World("a recall follows any entry", mutant="RECALL_OUT_OF_ORDER"),
    World("a recall looks at objects only, not at sweeps", mutant="RECALL_SWEPT"),
    World("a recall looks at sweeps only", f"{_TWO_KEEPERS} -DCHECKPOINTS", "RECALL_UNSEEN"),
    World("a host commits without a look at packs", "-DCHECKPOINTS", "NO_REFERENCE_CHECK"),
    World("roots are deleted without a sweep", mutant="ROOTS_WITHOUT_SWEEP"),
    World("adopted packs are used though blocked", "-DROUNDS=2", "ADOPT_BLOCKED"),
    World("any log_seen counts as having seen this entry", "-DROUNDS=2", "SEEN_ANYTHING"),
)


class UnableError(Exception):
    """What keeps the model from being run, for a person."""


def main(arguments: Sequence[str]) -> int:
    """Run all searches, with ``--deep`` the long ones too, and print a table; 1 for a surprise."""
    try:
        tools = spin(), compiler()
        began = time.monotonic()
        deep = DEEP if "--deep" in arguments else ()
        outcomes = search([*WORLDS, *deep, *MUTANTS], tools)
    except UnableError as error:
        print(f"model: {error}", file=sys.stderr)
        return 1
    surprises = 0
    for one in outcomes:
        expected = one.loses.startswith("assertion violated") if one.world.mutant else not one.loses
        surprises += not expected
        found = "loses" if one.loses else "safe "
        mark = "" if expected else f"   <-- {one.loses or 'not found'}"
        print(f"{found} {one.states:>11,} states {one.seconds:5.1f} s  {one.world.what}{mark}")
    took = time.monotonic() - began
    print(f"model: {len(outcomes)} searches, {surprises} surprises, {took:.0f} s")
    return 1 if surprises else 0


def search(worlds: Sequence[World], tools: tuple[str, str]) -> list[Outcome]:
    """Run searches, two at a time, and return what they found, in order.

    Raises:
        UnableError: One did not run to its end.
    """
    outcomes: dict[World, Outcome] = {}

    def run(world: World, _: None) -> None:
        outcomes[world] = _search(world, *tools)

    # The longest first, so that none is left alone at the end.
    with Crew("model", AT_ONCE, len(worlds), lambda: None) as crew:
        for world in sorted(worlds, key=lambda world: (-len(world.options), world.mutant)):
            crew.submit(partial(run, world))
        crew.drain()
    return [outcomes[world] for world in worlds]


def _search(world: World, spin: str, cc: str) -> Outcome:
    folder = TOOLS / "model" / (world.mutant or f"world{world.options.replace(' ', '')}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mutant = [f"-DMUTANT_{world.mutant}"] if world.mutant else []
    call(folder, spin, "-a", *world.options.split(), *mutant, str(MODEL))
    call(folder, cc, "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-DVECTORSZ=256", "-opan", "pan.c")
    began = time.monotonic()
    said = call(folder, "./pan", "-m10000", "-w24")
    seconds = time.monotonic() - began
    states = re.search(r"(\d+) states, stored", said)
    violated = re.search(r"pan:1: (.*) \(at depth", said)
    cut_short = "Search not completed" in said and not violated
    if states is None or cut_short or "depth too small" in said:
        raise UnableError(f"'{world.what}': Spin did not search to the end:\n{said}")
    shutil.rmtree(folder)
    return Outcome(world, violated[1] if violated else "", int(states[1]), seconds)


def call(folder: Path, *command: str) -> str:
    """Run a program in a folder and return what it says.

    Raises:
        UnableError: It fails, or takes too long.
    """
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=TOO_LONG_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnableError(f"{command[0]}: {error}") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise UnableError(f"{' '.join(command)} failed with {done.returncode}: {said}")
    return done.stdout


# Tools


def compiler() -> str:
    """Return a compiler of C.

    Raises:
        UnableError: There is none.
    """
    for name in ("gcc", "clang", "cc"):
        found = shutil.which(name)
        if found:
            return found
    raise UnableError("no compiler of C is here; hint: apt-get install gcc")


def spin() -> str:
    """Return Spin: the one on the path, or the one that was fetched, or fetch it.

    Raises:
        UnableError: It is not here, and Debian's mirror cannot be reached.
    """
    fetched = TOOLS / "spin" / "usr" / "bin" / "spin"
    found = shutil.which("spin") or (str(fetched) if fetched.exists() else None)
    if found:
        return found
    TOOLS.mkdir(exist_ok=True)
    try:
        deb = _download()
        call(TOOLS, "dpkg", "-x", deb, "spin")
    except UnableError as error:
        raise UnableError(
            "Spin is not here, and cannot be fetched from Debian "
            f"({str(error).splitlines()[-1]}); hint: apt-get install spin, or connect this machine"
        ) from error
    return str(fetched)


def _download() -> str:
    """Fetch the package with apt's own lists, or with lists fetched for this (no root needed)."""
    try:
        call(TOOLS, "apt-get", "-qq", "download", "spin")
    except UnableError:
        own = TOOLS / "apt"
        for part in ("lists/partial", "cache/archives/partial"):
            (own / part).mkdir(parents=True, exist_ok=True)
        apt = ("apt-get", "-qq", f"-oDir::State::Lists={own}/lists", f"-oDir::Cache={own}/cache")
        call(TOOLS, *apt, "-oAPT::Update::Error-Mode=any", "update")
        call(TOOLS, *apt, "download", "spin")
    return max(path.name for path in TOOLS.glob("spin_*.deb"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
