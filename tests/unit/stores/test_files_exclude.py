"""Which entries patterns leave out: a golden table, and what cannot be understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stores.taking import take
from vaultd.core.errors import ConfigError
from vaultd.stores.files.exclude import NOTHING, FolderRules, Rules, read_patterns
from vaultd.stores.files.options import CaptureOptions


def left_out(patterns: list[str], path: str, folded: list[str] | None = None) -> bool:
    """Tell whether a capture of the whole machine would leave out a path; "x/" is a directory."""
    rules = Rules(patterns, folded or [])
    directory = path.endswith("/")
    *above, name = path.strip("/").split("/")
    inherited, here = NOTHING, b""
    for part in above:
        folder: FolderRules = rules.at(here, inherited)
        if folder.leaves_out(part.encode(), directory=True):
            return True
        inherited = folder.rule_for(part.encode(), directory=True)
        here += (b"/" if here else b"") + part.encode()
    return rules.at(here, inherited).leaves_out(
        name.encode("utf-8", "surrogateescape"), directory=directory
    )


GOLDEN = [
    # one name, at any depth
    (["*.tmp"], "/a.tmp", True),
    (["*.tmp"], "/x/y/a.tmp", True),
    (["*.tmp"], "/x/y/a.tmp.gz", False),
    (["*.tmp"], "/x.tmp/y/z", True),
    (["cache"], "/a/cache/", True),
    (["cache"], "/a/cache2/", False),
    (["cache"], "/a/Cache/", False),
    (["?.o"], "/a/x.o", True),
    (["?.o"], "/a/xy.o", False),
    (["*"], "/.hidden", True),
    # anchored
    (["/var/cache"], "/var/cache/", True),
    (["/var/cache"], "/srv/var/cache/", False),
    (["/var/cache"], "/var/cache/apt/x", True),
    (["/home/*/.cache"], "/home/ann/.cache/", True),
    (["/home/*/.cache"], "/home/ann/src/.cache/", False),
    # a slash inside does not anchor
    (["build/*.o"], "/build/x.o", True),
    (["build/*.o"], "/a/b/build/x.o", True),
    (["build/*.o"], "/a/build/c/x.o", False),
    # ** as a component
    (["/a/**/z"], "/a/z", True),
    (["/a/**/z"], "/a/b/c/z", True),
    (["/a/**/z"], "/b/a/z", False),
    (["**/z"], "/z", True),
    (["**/z"], "/a/b/z", True),
    (["cache/**"], "/x/cache/", False),
    (["cache/**"], "/x/cache/y", True),
    (["cache/**"], "/x/cache/y/z", True),
    (["a**b"], "/axxb", True),
    (["a**b"], "/a/b", False),
    (["/**"], "/anything", True),
    # directories only
    (["tmp/"], "/x/tmp/", True),
    (["tmp/"], "/x/tmp", False),
    (["tmp/"], "/x/tmp/y", True),
    # character sets and escapes
    (["[a-c].log"], "/b.log", True),
    (["[a-c].log"], "/d.log", False),
    (["[!a-c].log"], "/d.log", True),
    (["[!a-c].log"], "/b.log", False),
    (["[^a-c].log"], "/d.log", True),
    (["[]].log"], "/].log", True),
    (["[a\\]].log"], "/].log", True),
    (["[a-].log"], "/-.log", True),
    (["[!x]"], "/\udcff", True),
    ([r"\*"], "/*", True),
    ([r"\*"], "/x", False),
    ([r"\!x"], "/!x", True),
    (["a.b"], "/axb", False),
    (["(x)+"], "/(x)+", True),
    (["new\nline"], "/new\nline", True),
    # not UTF-8, and more than one byte for one character
    (["Zo?"], "/Zoë", True),
    (["*.bin"], "/\udcff\udcfe.bin", True),
    # re-including: the last one that matches decides
    (["*.log", "!keep.log"], "/a/keep.log", False),
    (["!keep.log", "*.log"], "/a/keep.log", True),
    (["*.log", "!keep.log", "/a/*"], "/a/keep.log", True),
    (["/*", "!/home"], "/home/", False),
    (["/*", "!/home"], "/home/ann/x", False),
    (["/*", "!/home"], "/srv/", True),
    # a name that could match anywhere does not open an excluded directory
    (["node_modules", "!*.md"], "/a/node_modules/", True),
    (["node_modules", "!*.md"], "/a/node_modules/x/README.md", True),
    # a path through it does
    (["/home/*/.cache", "!/home/ann/.cache/keep"], "/home/ann/.cache/", False),
    (["/home/*/.cache", "!/home/ann/.cache/keep"], "/home/ann/.cache/keep", False),
    (["/home/*/.cache", "!/home/ann/.cache/keep"], "/home/ann/.cache/keep/x", False),
    (["/home/*/.cache", "!/home/ann/.cache/keep"], "/home/ann/.cache/other", True),
    (["/home/*/.cache", "!/home/ann/.cache/keep"], "/home/bob/.cache/", True),
    (["/home", "!/home/ann/docs"], "/home/ann/", False),
    (["/home", "!/home/ann/docs"], "/home/ann/docs/a/b", False),
    (["/home", "!/home/ann/docs"], "/home/ann/music", True),
    (["cache", "!cache/keep"], "/x/cache/", False),
    (["cache", "!cache/keep"], "/x/cache/keep", False),
    (["cache", "!cache/keep"], "/x/cache/drop", True),
    (["!cache/keep", "cache"], "/x/cache/", True),
    (["/data", "!/data/**/keep.txt"], "/data/a/b/", False),
    (["/data", "!/data/**/keep.txt"], "/data/a/b/keep.txt", False),
    (["/data", "!/data/**/keep.txt"], "/data/a/b/other.txt", True),
    (["/data", "!/data/x"], "/data", True),  # a file: nothing can lie inside
]


@pytest.mark.parametrize(("patterns", "path", "expected"), GOLDEN)
def test_the_golden_table_of_patterns(patterns: list[str], path: str, expected: bool) -> None:
    assert expected == left_out(patterns, path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/A.TMP", True), ("/x/a.Tmp", True), ("/É.tmp", True), ("/KEEP/x.tmp", False)],
)
def test_folded_patterns_do_not_heed_case_and_come_last(path: str, expected: bool) -> None:
    assert expected == left_out(["*.other"], path, ["*.tmp", "!keep/*"])


@pytest.mark.parametrize(
    "pattern", ["", "/", "!", "!/", "//", "a/../b", "./a", "[abc", "[", "a\\", "[z-a]", "nul\0"]
)
def test_patterns_that_name_no_entry_are_refused(pattern: str) -> None:
    with pytest.raises(ConfigError):
        Rules([pattern])


def test_sifting_names_asks_only_about_what_depends_on_the_type() -> None:
    folder = Rules(["*.tmp", "out/", "cache", "!cache/keep"]).at(b"", NOTHING)
    names = [b"a", b"a.tmp", b"cache", b"out"]
    assert ([b"a", b"cache", b"out"], [b"cache", b"out"]) == folder.sift(names)


def test_sifting_returns_the_same_list_when_no_rule_applies_in_a_directory() -> None:
    names = [b"a", b"b"]
    sifted, doubtful = Rules(["/var/cache"]).at(b"srv", NOTHING).sift(names)
    assert names is sifted
    assert doubtful == []


def test_pattern_files_have_comments_blank_lines_and_escapes(tmp_path: Path) -> None:
    file = tmp_path / "exclude"
    file.write_bytes(b"# comment\n\n*.tmp  \n\\#odd\ntrailing\\ \n!keep\n  # no comment\n\xff\n")
    expected = ("*.tmp", "\\#odd", "trailing\\ ", "!keep", "  # no comment", "\udcff")
    assert expected == read_patterns(file)


def test_a_pattern_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        read_patterns(tmp_path / "nowhere")


def test_a_capture_does_not_enter_what_is_excluded(tmp_path: Path) -> None:
    for name in ("keep/a", "skip/b", "cache/keep/c", "cache/other/d", "x.tmp"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    (tmp_path / "out").write_text("a file")
    options = CaptureOptions(exclude=("skip", "*.tmp", "cache", "!cache/keep", "out/"))
    taken = take(tmp_path, options=options)
    expected = {"keep", "keep/a", "cache", "cache/keep", "cache/keep/c", "out"}
    assert expected == taken.below(tmp_path)
    assert not [one.path for one in taken.listings if one.path.endswith((b"skip", b"other"))]


def test_a_root_is_never_excluded(tmp_path: Path) -> None:
    root = tmp_path / "cache"
    root.mkdir()
    (root / "a").write_text("x")
    (root / "b.tmp").write_text("x")
    taken = take(root, options=CaptureOptions(exclude=("cache", "*.tmp", "/*")))
    assert {"a"} == taken.below(root)
