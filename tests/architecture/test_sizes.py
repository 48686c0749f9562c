"""The limits on sizes: a module, a function, a command file is read in one go."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).parents[2]
FOLDERS = ("vaultd", "cli", "docs", "perf", "tests")

MODULE_LINES, TEST_MODULE_LINES, COMMAND_LINES = 400, 600, 100
FUNCTION_LINES = 50

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _modules() -> Iterator[tuple[Path, str]]:
    for folder in FOLDERS:
        for path in sorted(TOP.joinpath(folder).rglob("*.py")):
            yield path.relative_to(TOP), path.read_text(encoding="utf-8")


def _limit(module: Path) -> int:
    if module.is_relative_to("tests"):
        return TEST_MODULE_LINES
    if module.is_relative_to("cli/vaultctl/commands"):
        return COMMAND_LINES
    return MODULE_LINES


def _body_lines(function: Function) -> int:
    """Return the lines of a function from its first statement that is no docstring."""
    statements = function.body
    if ast.get_docstring(function, clean=False) is not None:
        statements = statements[1:]
    if not statements:
        return 0
    return (function.end_lineno or 0) - statements[0].lineno + 1


def test_no_module_is_too_long() -> None:
    too_long = [
        f"{module}: {lines} lines, at most {_limit(module)}: give a part of it a module of its own"
        for module, text in _modules()
        if (lines := text.count("\n")) > _limit(module)
    ]

    assert [] == too_long


def test_no_function_is_too_long() -> None:
    too_long = [
        f"{module}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES}:"
        " give a part of it a name of its own"
        for module, text in _modules()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, Function) and (lines := _body_lines(node)) > FUNCTION_LINES
    ]

    assert [] == too_long


def test_a_docstring_does_not_count_as_a_function_line() -> None:
    function = ast.parse(
        'def f():\n    """One.\n\n    Two.\n    """\n    a = 1\n    return a\n'
    ).body[0]

    assert isinstance(function, ast.FunctionDef)
    assert 2 == _body_lines(function)
