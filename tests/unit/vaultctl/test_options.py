"""From what was typed to what the library is asked."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from vaultctl.kit import KitFile, check_kit, write_kit
from vaultctl.lazy import LazyGroup
from vaultctl.sources import capture_options, check_name, roots_of, source_options, store_name
from vaultctl.targets import selection_of, target_options, targeting

from vaultd.core.errors import ConfigError
from vaultd.wiring.targets import Overwrite, OwnerRule


def _chosen(
    options: Callable[[Callable[..., None]], Callable[..., None]], *arguments: str
) -> dict[str, Any]:
    found: dict[str, Any] = {}

    @click.command()
    @options
    def probe(**chosen: Any) -> None:
        found.update(chosen)

    result = CliRunner().invoke(probe, list(arguments), catch_exceptions=False)
    assert 0 == result.exit_code, result.output
    return found


def test_everything_that_leaves_out_reaches_the_capture(tmp_path: Path) -> None:
    patterns = tmp_path / "patterns"
    patterns.write_text("*.tmp\n# no\n")

    options = capture_options(
        _chosen(
            source_options,
            *("-e", "a", "--iexclude", "B", "--exclude-file", str(patterns)),
            *("--iexclude-file", str(patterns), "--exclude-caches", "--exclude-if-present", ".no"),
            *("--exclude-larger-than", "1.5K", "--exclude-nodump", "-x", "--no-xattrs"),
        )
    )

    assert (("a", "*.tmp"), ("B", "*.tmp"), (".no",), 1536) == (
        options.exclude,
        options.iexclude,
        options.exclude_if_present,
        options.exclude_larger_than_bytes,
    )
    assert options.exclude_caches
    assert options.exclude_nodump
    assert options.one_file_system
    assert not options.xattrs
    assert os.uname().nodename == options.hostname


def test_paths_come_from_arguments_and_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a1", "a2"):
        (tmp_path / name).touch()
    listed, verbatim = tmp_path / "listed", tmp_path / "verbatim"
    listed.write_text(f"# no\n\n {tmp_path}/a*\n/gone\n")
    verbatim.write_text("/with space\n/a*\n")
    raw = io.TextIOWrapper(io.BytesIO(b"/raw\nline\0/raw\xff\0"))
    monkeypatch.setattr("sys.stdin", raw)

    chosen = _chosen(
        source_options,
        *("--files-from", str(listed), "--files-from-verbatim", str(verbatim)),
        *("--files-from-raw", "-"),
    )
    roots = roots_of(["/etc/", "/etc", "/srv/../x"], chosen)

    expected = [b"/a*", b"/etc", b"/gone", b"/raw\nline", b"/raw\xff", b"/with space", b"/x"]
    top = os.fsencode(tmp_path)
    assert sorted([*expected, top + b"/a1", top + b"/a2"]) == list(roots)


def test_a_store_without_a_name_is_named_after_its_paths() -> None:
    assert "/etc + /srv/crm" == store_name((b"/etc", b"/srv/crm"))


@pytest.mark.parametrize("roots", [(b"/a" * 150,), (b"/a\nb",), (b"/\xff",)])
def test_paths_that_make_no_name_need_one(roots: tuple[bytes, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        store_name(roots)

    assert "--name" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["", "x" * 201, "a\tb"])
def test_a_name_that_nobody_can_read_is_refused(name: str) -> None:
    with pytest.raises(ConfigError):
        check_name(name)


def test_everything_about_the_target_reaches_the_restore(tmp_path: Path) -> None:
    globs = tmp_path / "globs"
    globs.write_text("*.sql\n# no\n")

    chosen = _chosen(
        targeting,
        *("-i", "a", "--include-file", str(globs), "-e", "b", "--exclude-file", str(globs)),
        *("--ignore-case", "--overwrite", "if-newer", "--delete", "--owner", "names"),
        *("--map-user", "ada=0", "--map-group", "users=0", "--sparse", "--devices"),
    )
    selection, options = selection_of(b"srv", chosen), target_options(chosen, is_root=True)

    assert (b"srv", ("a", "*.sql"), ("b", "*.sql"), True) == (
        selection.subdir,
        selection.include,
        selection.exclude,
        selection.ignore_case,
    )
    assert (Overwrite.IF_NEWER, OwnerRule.NAMES, {"ada": "0"}, {"users": "0"}) == (
        options.overwrite,
        options.owner,
        options.user_map,
        options.group_map,
    )
    assert options.delete
    assert options.sparse
    assert options.allow_suid
    assert options.allow_devices


def test_who_is_not_root_restores_no_owners_and_no_set_id_bits() -> None:
    chosen = _chosen(targeting)
    root, other = target_options(chosen, is_root=True), target_options(chosen, is_root=False)

    assert (OwnerRule.IDS, True) == (root.owner, root.allow_suid)
    assert (OwnerRule.NONE, False) == (other.owner, other.allow_suid)
    assert root.overwrite is None
    assert not target_options(_chosen(targeting, "--no-suid"), is_root=True).allow_suid


@pytest.mark.parametrize("text", ["ada", "=0", "ada="])
def test_half_a_map_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        target_options(_chosen(targeting, "--map-user", text))


def test_a_list_that_cannot_be_read_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        selection_of(b"", _chosen(targeting, "--include-file", "/no/list"))

    assert "/no/list" in caught.value.message


def test_a_kit_is_written_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "kit"
    check_kit(folder)

    write_kit(folder, [KitFile(name="key", text="secret", advice="")])

    assert (0o40700, 0o100600) == (folder.stat().st_mode, (folder / "key").stat().st_mode)
    with pytest.raises(ConfigError):
        check_kit(folder)


@pytest.mark.parametrize("place", ["missing/kit", "file", "file/kit"])
def test_a_kit_needs_a_place(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError):
        check_kit(tmp_path / place)


def test_a_kit_never_replaces_a_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("old")

    with pytest.raises(ConfigError) as caught:
        write_kit(tmp_path, [KitFile(name="key", text="new", advice="")])

    assert "--kit" in str(caught.value.hint)
    assert "old" == (tmp_path / "key").read_text()


def test_a_command_without_a_module_is_a_mistake_of_ours() -> None:
    group = LazyGroup(package="vaultctl.commands", sections={"Lost": ("lost",)})

    with pytest.raises(ImportError):
        group.format_commands(click.Context(group), click.HelpFormatter())
