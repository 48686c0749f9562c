"""`vaultctl`: back up, look into backups, and bring data back."""

from __future__ import annotations

import io
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import NoReturn

import click

from vaultctl import exit_codes
from vaultctl.lazy import LazyGroup
from vaultctl.options import Given, global_options
from vaultctl.output import Output
from vaultctl.text import plain
from vaultd.core.errors import ConfigError, VaultdError

SECTIONS = {
    "Begin": ("init", "doctor"),
    "Back up": ("backup",),
    "Look": ("snapshots", "ls", "find", "diff", "stats"),
    "Bring back": ("restore", "dump"),
    "Keep": (
        "check",
        "scrub",
        "tag",
        "forget",
        "retention",
        "undelete",
        "prune",
        "condense",
        "lock",
    ),
    "Second copies": ("replicate", "repair", "copies"),
    "Machines and keys": ("host", "key"),
    "The program": ("version", "completion"),
}
ALIASES = {"list": "snapshots", "cat": "dump"}

_PATIENCE_S = 1.0
"""Seconds after an interrupt in which nobody wonders why it goes on."""

_EPILOG = (
    "Global options may stand before or after the command. Exit codes: 0 done, 1 failed, 2 wrong "
    "usage, 3 done but incomplete, 10 no vault, 11 locked, 12 wrong key, 20 damage found, 130 "
    "interrupted."
)


@click.group(
    cls=LazyGroup,
    package="vaultctl.commands",
    sections=SECTIONS,
    aliases=ALIASES,
    help="Back up, look into backups, and bring data back.",
    epilog=_EPILOG,
    params=global_options(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
)
def commands() -> None:
    """Hold all commands; see the arguments of the decorator."""


def main() -> NoReturn:
    """Run `vaultctl` with the arguments and the environment of this process."""
    # A service that is told to stop should stop as cleanly as a person's Ctrl-C does.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    signal.signal(signal.SIGALRM, _say_stopping)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us; it is no reason to fail
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Better an escape in a name than no list of files at all.
            stream.reconfigure(errors="backslashreplace")
    code = run(sys.argv[1:], os.environ)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody takes it any more
            stream.flush()
    # All is closed and written; taking the interpreter apart would only keep the person waiting.
    os._exit(code)


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run one command.

    Args:
        arguments: What was typed after the program's name.
        environment: Variables, for the settings.

    Returns:
        The exit code, see `vaultctl.exit_codes`.
    """
    told = list(arguments[: arguments.index("--")] if "--" in arguments else arguments)
    debug = any(re.fullmatch(r"-v{2,}|--verbose=[2-9]", word) for word in told)
    output = Output(json="--json" in told, quiet=False, verbose=2 if debug else 0)
    try:
        return _called(arguments, Given(environment=environment))
    except BrokenPipeError:
        # Whoever read our output has seen enough, as in `vaultctl ls … | head`.
        return exit_codes.FAILED
    except (KeyboardInterrupt, click.Abort):
        return _interrupted(output)
    except click.exceptions.NoArgsIsHelpError as error:
        output.say(error.format_message())
        return exit_codes.USAGE
    except Exception as error:  # noqa: BLE001 - the one place where every error ends
        if debug:
            import traceback  # noqa: PLC0415 - seldom wanted, and every start would pay

            traceback.print_exc()
        return _failed(output, _in_our_words(error))


def _called(arguments: Sequence[str], given: Given) -> int:
    try:
        code = commands.main(
            args=list(arguments), prog_name="vaultctl", standalone_mode=False, obj=given
        )
    except click.exceptions.Exit as request:
        code = request.exit_code
    # What cannot be written must be noticed before the code says that all is well.
    sys.stdout.flush()
    return int(code or exit_codes.OK)


def _failed(output: Output, error: VaultdError) -> int:
    code = exit_codes.code_of(error)
    output.failure(error, code)
    return code


def _in_our_words(error: Exception) -> VaultdError:
    if isinstance(error, VaultdError):
        return error
    if isinstance(error, click.ClickException):
        text = error.format_message().rstrip(".")
        path = getattr(getattr(error, "ctx", None), "command_path", "vaultctl")
        return ConfigError(text[:1].lower() + text[1:], hint=f"Try `{path} --help`.")
    if isinstance(error, OSError) and error.strerror:
        where = f"{plain(str(error.filename))}: " if error.filename else ""
        return VaultdError(f"{where}{error.strerror.lower()}")
    return VaultdError(
        f"a mistake in vaultctl itself: {type(error).__name__}: {plain(str(error))}",
        hint="Run it again with -vv, and report what it prints; what is in the vault is safe.",
    )


def _interrupted(output: Output) -> int:
    if output.json:
        fields = {"code": exit_codes.INTERRUPTED, "message": "interrupted", "hint": None}
        output.record_aside("exit_error", fields)
    else:
        output.say_always(
            "vaultctl: interrupted; nothing in the vault is broken: "
            "run the same command again, and it goes on where it stopped"
        )
    return exit_codes.INTERRUPTED


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    # What is under way is finished or given up first; who waits should know what for.
    signal.signal(number, _abandon)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
    raise KeyboardInterrupt


def _say_stopping(_: int, __: FrameType | None) -> None:
    if sys.stderr.isatty():
        os.write(2, b"\nvaultctl: stopping after what is under way; Ctrl-C again stops at once\n")


def _abandon(_: int, __: FrameType | None) -> NoReturn:
    # As safe as a power cut: what is not committed is not there, and is resumed next time.
    os.write(2, b"\nvaultctl: stopped at once; run the same command again to go on\n")
    os._exit(exit_codes.INTERRUPTED)
