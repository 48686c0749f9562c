"""What a check and a scrub say of damage is what a restore then finds: these files, no others."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.scrubbing import Scrubber
from tests.support.tampering import Site, Tampered, flipped, needed, others_of
from tests.support.vaults import Scene
from vaultd.backends.base import Backend
from vaultd.backends.memory import MemoryBackend
from vaultd.compression import Decompressor
from vaultd.core.errors import IntegrityError, ObjectNotFoundError
from vaultd.core.events import ProblemKind
from vaultd.core.snapshot import Kind
from vaultd.format import pack as pack_format
from vaultd.vault import layout
from vaultd.vault.proving import PackProver
from vaultd.vault.reader import DATA, META


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(Scene(tmp_path_factory.mktemp("site"), MemoryBackend()))


def kind_of(name: str, backend: Backend) -> int:
    """Return whether a pack holds contents or trees."""
    header, _ = pack_format.decode_header(backend.get(name), what=name)
    return header.kind


def told_wrongly(site: Site, name: str, contents: bytes | None) -> str:
    """Return how what is told differs from what must be told; nothing when it does not."""
    files, unlisted = site.named({name: contents})
    is_tree = kind_of(name, site.scene.backend) == META
    foretold = site.foretold(name, contents)
    if unlisted and is_tree:
        # Without its tree, nobody can tell which files a snapshot had; of the others all is told.
        foretold = {one for one in foretold if one[0] not in unlisted}
    if files == foretold and (not unlisted or is_tree):
        return ""
    return f"{name}: {files ^ foretold}, not to be listed {unlisted}"


def needed_packs(site: Site) -> list[str]:
    return [name for name in needed(site) if name.startswith(layout.PACKS)]


def test_a_check_names_exactly_the_files_that_flipped_bytes_cost(site: Site) -> None:
    wrong = [
        told
        for name in needed_packs(site)
        for at in (5, 1200, *range(3000, site.objects[name], 250_000))
        if (told := told_wrongly(site, name, flipped(site.get(name), at)))
    ]

    assert [] == wrong


def test_a_check_names_exactly_the_files_that_another_object_costs(site: Site) -> None:
    named = 0
    for name in needed_packs(site):
        for what, contents in itertools.islice(others_of(site, name).items(), 0, None, 2):
            assert "" == told_wrongly(site, name, contents), what
            named += len(site.foretold(name, contents))

    assert named > 10


def test_two_bad_packs_cost_what_each_of_them_costs(site: Site) -> None:
    packs = [name for name in needed_packs(site) if site.foretold(name, None)]
    one, other = packs[:2]
    files, unlisted = site.named({one: None, other: None})

    assert set() == unlisted
    assert site.foretold(one, None) | site.foretold(other, None) == files


def test_a_restore_loses_exactly_the_files_that_a_check_has_named(site: Site) -> None:
    for name in needed_packs(site):
        others: dict[str, bytes | None] = {name: flipped(site.get(name), 2500)}
        files, unlisted = site.named(others)
        for number, (snapshot, _) in enumerate(site.scene.seen):
            if snapshot.short_id not in unlisted:
                target = site.scene.folder / f"again-{name[-8:]}-{number}"
                report = site.desk(others).restore(snapshot, target)
                assert {ProblemKind.DAMAGED} >= {problem.kind for problem in report.problems}
                lost = {(snapshot.short_id, problem.path) for problem in report.problems}
                assert {one for one in files if one[0] == snapshot.short_id} == lost


def test_what_a_good_copy_of_a_chunk_saves_is_not_called_damaged(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    scene.write("large", random.Random(1).randbytes(600_000))
    scene.back_up(Kind.FULL)
    scene.back_up(Kind.FULL)
    (first, _), (second, _) = scene.seen
    packs = [info.name for info in scene.backend.list(layout.packs_of(first.session))]
    for name in (lost := [name for name in packs if kind_of(name, scene.backend) == DATA]):
        scene.backend.delete(name)

    report = scene.new_desk().check()

    # The second full snapshot has the same chunks in packs of its own.
    assert lost == [damage.name for damage in report.damages]
    assert second.short_id not in {one for damage in report.damages for one in damage.snapshots}
    assert () == report.files


def scrubbed(site: Site, others: dict[str, bytes | None]) -> set[str]:
    """Scrub without any recovery key; return the names of what is wrong."""
    desk = site.desk(others)
    desk.folder.mkdir(mode=0o700)
    report = Scrubber(desk=desk, is_keeper=False).run()
    return {damage.name for damage in report.damages}


def test_a_scrub_without_keys_finds_every_bad_object(site: Site) -> None:
    objects = [name for name in needed(site) if name.startswith((layout.PACKS, layout.PARTS))]
    for name in objects:
        for what, contents in itertools.islice(others_of(site, name).items(), 0, None, 2):
            assert {name} == scrubbed(site, {name: contents}), what
    everything = {name: flipped(site.get(name), 99) for name in objects}

    assert set(objects) == scrubbed(site, dict(everything))


# Every byte: minutes


def tiny(site: Site) -> Iterator[str]:
    """Yield the packs and index parts that are small enough to try every byte of them."""
    for name in needed(site):
        if name.startswith((layout.PACKS, layout.PARTS)) and site.objects[name] <= 1 << 18:
            yield name


@pytest.mark.nightly
def test_every_single_byte_of_packs_and_parts_is_covered(site: Site) -> None:
    trust, missed = site.desk({}).trust, []
    decompressor = Decompressor()
    names = list(tiny(site))
    for name in names:
        contents = site.get(name)
        for at in range(len(contents)):
            tampered = Tampered(site.scene.backend, {name: flipped(contents, at)})
            try:
                PackProver(tampered, trust, None).prove(name, len(contents), decompressor)
            except (IntegrityError, ObjectNotFoundError):
                continue
            missed.append(f"{name} at {at}")

    assert len(names) > 4
    assert [] == missed


@pytest.mark.nightly
def test_files_are_named_whichever_byte_was_flipped(site: Site) -> None:
    wrong = [
        told
        for name in needed_packs(site)
        for at in range(0, site.objects[name], max(17, site.objects[name] // 400))
        if (told := told_wrongly(site, name, flipped(site.get(name), at)))
    ]

    assert [] == wrong
