"""The programs are run with the options that the method promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from perf.programs import Borg, Place, Restic, TarZstd, Vaultctl, programs, words_of

SOURCE, TARGET = Path("/data/mix"), Path("/restored/1")


def test_the_words_of_a_sheet_are_found_in_order() -> None:
    rows = [
        f"  {n:2} {'word' + chr(96 + n):12}  {n + 12:2} {'term' + chr(96 + n)}"
        for n in range(1, 13)
    ]
    text = "Who has these words can read\n" + "\n".join(rows) + "\n  Made  2026-11-23T19:30:41Z\n"
    words = words_of(text).split()

    assert 24 == len(words)
    assert ["worda", "wordb", "terma"] == [words[0], words[1], words[12]]


def test_a_sheet_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="0 numbered words"):
        words_of("nothing here")


def test_ours_comes_first_and_every_program_can_do_a_first_backup() -> None:
    found = programs()

    assert "vaultd" == found[0].name
    assert len(found) == len({program.name for program in found})
    assert all("full" in program.jobs for program in found)


def test_a_program_that_is_not_there_has_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert [None] * 3 == [program.version() for program in (Restic(), Borg(), TarZstd())]
    assert Vaultctl(str(tmp_path / "vaultctl")).version() is None


def test_restic_has_its_cache_only_where_there_is_an_earlier_snapshot(tmp_path: Path) -> None:
    place = Place(folder=tmp_path)

    assert "--no-cache" in Restic().back_up(place, SOURCE, first=True).argv
    assert "--no-cache" not in Restic().back_up(place, SOURCE, first=False).argv


def test_vaults_in_a_bucket_are_named_as_both_programs_do(tmp_path: Path) -> None:
    place = Place(folder=tmp_path, bucket="http://127.0.0.1:1/b/v1", secrets={"KEY": "k"})
    for program in (Vaultctl(), Restic()):
        command = program.restore(place, SOURCE, TARGET)

        assert "s3:http://127.0.0.1:1/b/v1" in command.argv
        assert str(TARGET) in command.argv
        assert "k" == command.environment["KEY"]
    assert 0 == place.stored_bytes()


def test_stored_bytes_are_those_of_a_folder_or_of_a_file(tmp_path: Path) -> None:
    place = Place(folder=tmp_path)
    place.vault.write_bytes(bytes(7))

    assert 7 == place.stored_bytes()
    place.vault.unlink()
    place.vault.joinpath("packs").mkdir(parents=True)
    place.vault.joinpath("packs/one").write_bytes(bytes(9))

    assert 9 == place.stored_bytes()
