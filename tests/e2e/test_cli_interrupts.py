"""Ctrl-C, a service that is stopped, a reader that has seen enough: nothing breaks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.cli import PROGRAM, Done, Home, Terminal

LIMIT_S = 40
FILES, FILE_BYTES = 20, 4 << 20


@pytest.fixture
def big(home: Home) -> Path:
    """Enough that cannot be compressed to be interrupted in its middle, new in every test."""
    top = home.folder / "big"
    top.mkdir(exist_ok=True)
    for number in range(FILES):
        (top / f"{number:02}").write_bytes(os.urandom(FILE_BYTES))
    return top


def _slow_backup(home: Home, big: Path, *options: str) -> subprocess.Popen[bytes]:
    return home.start("backup", big, "--limit-upload", "24M", *options)


def _packs(home: Home) -> int:
    return sum(path.is_file() for path in (home.vault / "packs").rglob("*"))


def _interrupt_when_packs_are_there(
    home: Home, process: subprocess.Popen[bytes], number: signal.Signals, packs: int
) -> Done:
    give_up = time.monotonic() + LIMIT_S
    while _packs(home) < packs and time.monotonic() < give_up:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    out, err = process.communicate(timeout=LIMIT_S)
    return Done(code=process.returncode, out=out, err=err.decode())


def test_an_interrupted_backup_is_resumed_by_running_it_again(home: Home, big: Path) -> None:
    process = _slow_backup(home, big, "--name", "resumed")

    done = _interrupt_when_packs_are_there(home, process, signal.SIGINT, packs=1)
    packs = _packs(home)
    listed = home.json("snapshots").summary["snapshots"]
    again = home.json("backup", big, "--name", "resumed")

    assert (130, b"") == (done.code, done.out)
    (line,) = done.err.splitlines()[-1:]
    assert "nothing in the vault is broken" in line
    assert "same command again" in line
    assert 0 == listed
    assert packs >= 1
    assert "need not be uploaded again" in again.err
    assert again.summary["data_added_packed"] < FILES * FILE_BYTES
    assert 0 == home.json("check", "--read-data", *home.key).summary["num_errors"]


def test_a_stopped_service_ends_as_cleanly(home: Home, big: Path) -> None:
    before = _packs(home)
    process = _slow_backup(home, big, "--name", "stopped", "--json", "--kind", "full")

    done = _interrupt_when_packs_are_there(home, process, signal.SIGTERM, packs=before + 1)

    assert 130 == done.code
    last = json.loads(done.err.splitlines()[-1])
    assert ("exit_error", 130) == (last["message_type"], last["code"])


def test_a_second_backup_of_the_same_store_is_told_that_one_is_at_work(
    home: Home, big: Path
) -> None:
    before = _packs(home)
    process = _slow_backup(home, big, "--name", "locked")
    give_up = time.monotonic() + LIMIT_S
    while _packs(home) == before and time.monotonic() < give_up:
        time.sleep(0.02)

    second = home.run("backup", big, "--name", "locked")
    process.kill()
    process.communicate()

    assert 11 == second.code
    assert "another vaultd process" in second.err


def test_usr1_says_how_far_a_backup_is(home: Home, big: Path) -> None:
    before = _packs(home)
    process = _slow_backup(home, big, "--name", "watched")
    give_up = time.monotonic() + LIMIT_S
    while _packs(home) == before and time.monotonic() < give_up:
        time.sleep(0.02)

    process.send_signal(signal.SIGUSR1)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_S)

    assert re.search("^scan and store, .*files?$", err.decode(), re.MULTILINE)


def test_an_interrupted_restore_goes_on(home: Home, big: Path) -> None:
    home.ok("backup", big, "--name", "restore-me")
    target = home.folder / "target"
    arguments = ("restore", "latest", "-t", target, "--store", "restore-me", *home.key)
    process = home.start(*arguments, "--limit-download", "24M")
    give_up = time.monotonic() + LIMIT_S
    written = Path(f"{target}{big}")
    while len(list(written.glob("??"))) < 4 and time.monotonic() < give_up:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LIMIT_S)

    done = home.json(*arguments)

    assert 130 == process.returncode
    assert done.summary["resumed"]
    assert done.summary["bytes_restored"] < FILES * FILE_BYTES
    for path in big.iterdir():
        assert path.read_bytes() == (written / path.name).read_bytes()


def test_a_reader_that_leaves_early_is_no_mistake(home: Home, big: Path) -> None:
    home.ok("backup", big, "--name", "pipe")
    process = home.start("dump", f"latest:{big}", "--store", "pipe", *home.key)
    assert process.stdout is not None
    process.stdout.read(1000)
    process.stdout.close()

    assert process.stderr is not None
    err = process.stderr.read().decode()
    process.wait(LIMIT_S)
    process.stderr.close()

    assert "Traceback" not in err
    assert "error" not in err
    assert 1 == process.returncode


def test_a_full_disk_behind_a_pipe_is_noticed(home: Home, big: Path) -> None:
    home.ok("backup", big / "00", "--name", "full-disk")
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [str(PROGRAM), "snapshots", "--json"],
            env=home.variables(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )

    assert 1 == process.returncode
    assert b"no space left" in process.stderr


def test_who_interrupts_twice_does_not_wait(home: Home, big: Path) -> None:
    with Terminal(home, "backup", big, "--name", "twice", "--limit-upload", "1M") as terminal:
        terminal.wait_for("files")
        time.sleep(1)
        began = time.monotonic()
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for("Ctrl-C again stops at once")
        terminal.process.send_signal(signal.SIGINT)
        code = terminal.end()

    assert 130 == code
    assert time.monotonic() - began < 10
    assert "stopped at once" in terminal.shown
    assert 0 == home.json("check").summary["num_errors"]
