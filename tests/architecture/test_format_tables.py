"""FORMAT.md says what the code does: its tables are compared with the constants and the structs."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from vaultd.format import (
    bounds,
    codec,
    fields,
    index,
    keys,
    log,
    machine,
    pack,
    session,
    signed,
    tree,
)

ROOT = Path(__file__).parents[2]
FORMAT = (ROOT / "vaultd/format/FORMAT.md").read_text("utf-8")
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20}

Row = tuple[str, ...]


def tables() -> dict[str, list[Row]]:
    """Return every table by the last line of text before it, cells without backticks."""
    found: dict[str, list[Row]] = {}
    title = ""
    for line in FORMAT.splitlines():
        if line.startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip()[1:-1])
            found.setdefault(title, []).append(tuple(cell.strip() for cell in cells))
        elif line.strip():
            title = line.strip()
    return {title: rows for title, [_, _, *rows] in found.items()}


def rows_with(column: str) -> list[Row]:
    """Return the rows of all tables whose header has a column."""
    lines = FORMAT.splitlines()
    rows = []
    for at, line in enumerate(lines):
        if line.startswith("|") and column in line and lines[at + 1].startswith("| ---"):
            below = lines[at + 2 :]
            end = next(i for i, text in enumerate([*below, ""]) if not text.startswith("|"))
            rows += [
                tuple(cell.strip() for cell in text.strip("|").split("|")) for text in below[:end]
            ]
    return rows


def structs() -> dict[str, type[codec.Packed]]:
    modules = (index, keys, log, machine, pack, session, tree)
    found = [value for module in modules for value in vars(module).values()]
    return {
        value.__name__: value
        for value in found
        if isinstance(value, type) and issubclass(value, codec.Packed) and value is not codec.Packed
    }


def number(text: str) -> int:
    count, _, unit = text.partition(" ")
    return int(count) * UNITS.get(unit, 1)


@pytest.mark.parametrize("row", rows_with("constant"), ids=lambda row: row[0])
def test_each_limit_is_the_constant_that_it_names(row: Row) -> None:
    _, text, name = row
    module, *path = name.strip("`").split(".")
    value: object = importlib.import_module(f"vaultd.format.{module}")
    for part in path:
        value = getattr(value, part)
    assert number(text) == value


def test_every_limit_of_the_code_is_in_the_table() -> None:
    named = {row[2].strip("`") for row in rows_with("constant")}
    modules = (bounds, index, keys, log, pack, session, signed, tree)
    constants = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in modules
        for name in vars(module)
        if re.match(r"MAX_|SECTION_LIMIT", name) and _owner(module.__name__, name)
    }
    assert set() == constants - named


def _owner(module: str, name: str) -> bool:
    """Tell whether a module defines a name, rather than importing it."""
    path = ROOT / (module.replace(".", "/") + ".py")
    tree_of_module = ast.parse(path.read_text("utf-8"))
    targets = [node for node in ast.walk(tree_of_module) if isinstance(node, ast.Assign)]
    return any(
        isinstance(leaf, ast.Name) and leaf.id == name
        for node in targets
        for target in node.targets
        for leaf in ast.walk(target)
    )


def test_magics_and_signature_labels_are_those_of_the_code() -> None:
    values = [*vars(signed).values(), *vars(machine).values()]
    kinds = [value for value in values if isinstance(value, signed.SignedKind)]
    expected = {(kind.name, kind.magic.decode(), kind.label.decode()) for kind in kinds}
    expected |= {
        ("pack", pack.MAGIC.decode(), "none"),
        ("index part", index.MAGIC.decode(), "none"),
    }
    rows = rows_with("signature label")
    found = [tuple(re.sub(r" \(.*|`", "", cell) for cell in row) for row in rows]
    assert expected == set(found)
    assert len(expected) == len({row[1] for row in found})
    assert f"`{pack.END.decode()}`" in FORMAT


@pytest.mark.parametrize("name", sorted(structs()))
def test_each_struct_has_a_table_of_its_fields_in_order(name: str) -> None:
    kind = structs()[name]
    title = next((title for title in tables() if title.startswith(f"**{name}**")), None)
    assert title is not None, f"FORMAT.md has no table titled **{name}**"
    rows = tables()[title]
    assert kind.__struct_fields__ == tuple(row[0].strip("`") for row in rows)
    for field, (_, written, _) in zip(kind.__struct_fields__, rows, strict=True):
        declared = str(kind.__annotations__[field])
        if declared in vars(fields) or declared in {"bytes", "bool"}:
            assert declared == written, f"{name}.{field}"


@pytest.mark.parametrize("name", sorted(structs()))
def test_each_tag_is_named(name: str) -> None:
    tag = structs()[name].__struct_config__.tag
    title = next(title for title in tables() if title.startswith(f"**{name}**"))
    assert (f"(tag `{tag}`)" in title) == (tag is not None)


def test_the_stat_columns_are_named_in_order() -> None:
    from vaultd.core.tree import COLUMNS  # noqa: PLC0415 - one name of another layer

    listed = ", ".join(COLUMNS).replace(" ino", " inode")
    assert listed in FORMAT


def test_every_type_of_field_is_in_the_table() -> None:
    named = {row[0].strip("`") for row in rows_with("bounds")}
    types = {name for name, value in vars(fields).items() if hasattr(value, "__metadata__")}
    assert set() == types - named


def test_every_label_of_the_code_is_in_the_text() -> None:
    labels = {
        node.value.rstrip(b"\0").decode()
        for path in (ROOT / "vaultd").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, bytes)
        and node.value.startswith(b"vaultd/")
    }
    assert len(labels) > 10
    assert [] == sorted(label for label in labels if f"`{label}`" not in FORMAT)


def test_links_inside_the_text_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", FORMAT, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    joined = FORMAT.replace("\n", " ")
    links = re.findall(r"\]\(#([^)]+)\)", joined)
    assert set() == set(links) - anchors
