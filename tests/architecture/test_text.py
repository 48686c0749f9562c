"""What must not stand in the tree: postponed work, silenced tests, a package registry's host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).parents[2]
PARTS = (".ci", "Makefile", "README.md", "cli", "config", "docs", "perf", "pyproject.toml")
TEXT = {"", ".conf", ".json", ".md", ".py", ".service", ".sh", ".timer", ".toml", ".yaml", ".yml"}


def _texts(*parts: str) -> Iterator[tuple[Path, str]]:
    for part in parts:
        top = TOP / part
        for path in [top] if top.is_file() else sorted(top.rglob("*")):
            if path.is_file() and path.suffix in TEXT and path != Path(__file__):
                yield path.relative_to(TOP), path.read_text(encoding="utf-8")


def _lines_with(pattern: str, *parts: str) -> list[str]:
    sought = re.compile(pattern)
    return [
        f"{path}:{number}: {line.strip()}"
        for path, text in _texts(*parts)
        for number, line in enumerate(text.splitlines(), 1)
        if sought.search(line)
    ]


def test_nothing_is_left_for_later() -> None:
    words = r"\b(TODO|FIXME|XXX|NotImplementedError)\b"

    assert [] == _lines_with(words, "vaultd", "cli", "perf")


def test_no_test_is_skipped_or_expected_to_fail() -> None:
    words = r"\b(importorskip|skipif|skipUnless|pytest\.skip|mark\.skip|mark\.xfail)\b"

    assert [] == _lines_with(words, "tests")


def test_values_are_structs_and_only_their_owners_encode_them() -> None:
    encoders = [
        line
        for line in _lines_with(r"^\s*(from|import) msgspec\b", "vaultd", "cli")
        if not re.search(r"from msgspec import (Struct|field|Struct, field)$", line)
        and "from msgspec.structs import" not in line
        and not line.startswith(("vaultd/format/", "vaultd/settings/file.py"))
    ]

    assert [] == encoders
    assert [] == _lines_with(r"\bdataclass", "vaultd", "cli")


def test_no_package_registry_is_named() -> None:
    hosts = r"deb\.debian\.org|pypi\.org|pythonhosted\.org|registry\.npmjs|crates\.io"

    assert [] == _lines_with(hosts, *PARTS, "vaultd", "tests")


def test_no_place_of_a_developer_s_machine_is_named() -> None:
    assert [] == _lines_with(r"(?<![\w.])/(work|root)/", *PARTS, "vaultd", "tests")
