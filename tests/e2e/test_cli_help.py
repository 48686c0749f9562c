"""What needs no vault: help, version, completion, and how little they load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click
import pytest
from vaultctl import main
from vaultctl.lazy import LazyGroup

from tests.support.cli import PROGRAM, Machine
from vaultd import __version__

HEAVY = {
    "boto3",
    "botocore",
    "cryptography",
    "nacl",
    "rich",
    "segno",
    "subprocess",
    "vaultd.settings.asked",
    "vaultd.wiring",
    "zstandard",
}


def _commands(group: LazyGroup, *path: str) -> list[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    found: list[tuple[tuple[str, ...], click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        found.append(((*path, name), command))
        if isinstance(command, LazyGroup):
            found += _commands(command, *path, name)
    return found


ALL = _commands(main.commands)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(folder=tmp_path)


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("host", "--help")])
def test_help_goes_to_standard_output(machine: Machine, arguments: tuple[str, ...]) -> None:
    done = machine.ok(*arguments)

    assert done.text.startswith("Usage: vaultctl")
    assert not done.err


def test_help_names_every_command_with_the_first_line_of_its_module(machine: Machine) -> None:
    text = machine.ok("--help").text

    names = {path[0] for path, _ in ALL}
    assert names <= set(text.split())
    assert "Bring files back from a snapshot" in text
    modules = {
        path.stem.removesuffix(".py")
        for path in Path(str(main.__file__)).with_name("commands").iterdir()
        if not path.name.startswith("_")
    }
    assert modules == names


@pytest.mark.parametrize(("path", "command"), ALL, ids=["-".join(path) for path, _ in ALL])
def test_every_command_explains_itself(path: tuple[str, ...], command: click.Command) -> None:
    context = click.Context(command, info_name=" ".join(("vaultctl", *path)))

    text = command.get_help(context)

    assert command.help is not None
    assert command.help.strip().splitlines()[0] in text
    assert "\\b" not in text
    assert all(
        parameter.help or parameter.hidden
        for parameter in command.params
        if isinstance(parameter, click.Option)
    )


@pytest.mark.parametrize("arguments", [["version"], ["--help"], ["snapshots", "--nope"]])
def test_small_things_load_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys; from vaultctl.main import run; run(sys.argv[1:], {});"
        "print(*sorted(name for name in sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )

    loaded = set(done.stderr.split())
    assert "click" in loaded
    if arguments[0] == "snapshots":
        assert not {"boto3", "botocore"} & loaded
    else:
        assert not HEAVY & loaded


def test_the_version_is_that_of_the_package(machine: Machine) -> None:
    assert f"vaultctl {__version__}\n" == machine.ok("version").text
    assert __version__ == machine.json("version").summary["version"]


def test_the_program_can_be_run_as_a_module(machine: Machine) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "vaultctl", "version"],
        cwd=machine.folder,
        capture_output=True,
        text=True,
        check=True,
    )

    assert f"vaultctl {__version__}\n" == done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_output_is_no_reason_to_fail(closed: str) -> None:
    done = subprocess.run(["/bin/sh", "-c", f'"$0" version {closed}', PROGRAM], check=False)

    assert 0 == done.returncode


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_completion(machine: Machine, shell: str) -> None:
    assert "_VAULTCTL_COMPLETE" in machine.ok("completion", shell).text
    assert shell == machine.json("completion", shell).summary["shell"]


def test_completion_knows_commands_and_options(machine: Machine) -> None:
    words = {"_VAULTCTL_COMPLETE": "bash_complete", "COMP_CWORD": "1"}

    commands = subprocess.run(
        [str(PROGRAM)],
        env=machine.variables() | words | {"COMP_WORDS": "vaultctl sna"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "plain,snapshots" in commands.stdout.split()


def test_no_argument_shows_the_help(machine: Machine) -> None:
    done = machine.run()

    assert 2 == done.code
    assert "Usage: vaultctl" in done.text + done.err
