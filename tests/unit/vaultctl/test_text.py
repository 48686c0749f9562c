"""What people read, and what scripts read."""

from __future__ import annotations

import stat

import pytest
from vaultctl import json_lines, text

from vaultd.core.entry import Entry
from vaultd.core.errors import NoMatchingKeyError
from vaultd.core.events import Problem, ProblemKind
from vaultd.core.tree import Extra


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/srv/a b", "/srv/a b"),
        ("/srv/käse".encode(), "/srv/käse"),
        (b"\x1b[2Jgone", r"\x1b[2Jgone"),
        (b"line\nbreak\ttab\r", r"line\x0abreak\x09tab\x0d"),
        (b"latin\xe9", r"latin\xe9"),
        ("exe\u202efdp.".encode(), r"exe\u202efdp."),
        ("\x9b2J".encode(), r"\x9b2J"),
    ],
)
def test_a_path_cannot_harm_a_terminal(path: bytes, expected: str) -> None:
    assert expected == text.shown(path)


def test_an_entry_is_shown_as_ls_does() -> None:
    entry = Entry(b"etc", b"mtab", stat.S_IFLNK | 0o777, 0, 5, 12, 0, Extra(link_target=b"../x"))

    line = text.long_line(entry)

    assert line.startswith("lrwxrwxrwx     0     5           12 ")
    assert line.endswith(" /etc/mtab -> ../x")


@pytest.mark.parametrize(
    ("bits", "word"),
    [
        (stat.S_IFREG | 0o644, "file"),
        (stat.S_IFDIR, "dir"),
        (stat.S_IFLNK, "symlink"),
        (stat.S_IFSOCK, "socket"),
        (0, "unknown"),
    ],
)
def test_the_type_of_an_entry_is_one_word(bits: int, word: str) -> None:
    assert word == text.kind(bits)


def test_counts_agree_with_their_nouns() -> None:
    assert ("1 file", "1,204 files", "0 entries") == (
        text.plural(1, "file"),
        text.plural(1204, "file"),
        text.plural(0, "entry", "entries"),
    )


def test_a_json_line_is_one_line_with_its_type_first() -> None:
    line = json_lines.line("summary", {"text": "a\nb", "size": 1})

    assert '{"message_type": "summary", "text": "a\\nb", "size": 1}' == line


def test_a_path_that_is_not_utf8_has_an_exact_twin() -> None:
    assert {"path": "a\ufffd", "path_b64": "YeQ="} == json_lines.path("path", b"a\xe4")
    assert {"path": "ä"} == json_lines.path("path", "ä".encode())


def test_paths_have_twins_when_one_of_them_needs_it() -> None:
    assert {"paths": ["a", "b"]} == json_lines.paths("paths", [b"a", b"b"])
    assert {"paths": ["a", "\ufffd"], "paths_b64": ["YQ==", "/w=="]} == json_lines.paths(
        "paths", [b"a", b"\xff"]
    )


def test_instants_are_utc_with_microseconds() -> None:
    assert "2023-11-14T22:13:20.000001Z" == json_lines.instant(1_700_000_000_000_001_999)


def test_a_problem_names_its_entry() -> None:
    problem = Problem(kind=ProblemKind.DENIED, path=b"/x", reason="permission denied")

    assert {
        "kind": "denied",
        "warning": False,
        "reason": "permission denied",
        "item": "/x",
    } == json_lines.problem(problem)


def test_an_error_line_has_code_message_and_hint() -> None:
    fields = json_lines.error(NoMatchingKeyError("wrong", hint="Try another."), 12)

    assert {
        "code": 12,
        "error": "NoMatchingKeyError",
        "message": "wrong",
        "hint": "Try another.",
    } == fields
