"""A small vault of which some objects are others: what a provider, a disk or a thief may do.

`Site` knows where every file of every snapshot lies, byte by byte, so that what damage costs can be
foretold and compared with what is told of it.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tests.support.trees import Facts, snapshot_of
from tests.support.vaults import Desk, Scene
from vaultd.backends.base import Backend, ObjectInfo
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.compression import Decompressor
from vaultd.core.errors import ObjectNotFoundError, VaultdError
from vaultd.core.events import ProblemKind
from vaultd.core.snapshot import Kind, SessionId, Snapshot
from vaultd.format import pack as pack_format
from vaultd.pipeline.browse import walk
from vaultd.vault import layout
from vaultd.vault.chunk_index import ChunkIndex
from vaultd.vault.reader import DATA, META


class Tampered(Forwarding):
    """A backend on which some objects are others.

    Args:
        inner: The honest backend.
        others: By name: what is there instead; ``None`` for nothing.
    """

    def __init__(self, inner: Backend, others: dict[str, bytes | None]) -> None:
        super().__init__(inner)
        self._others = others

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        if name not in self._others:
            return self._inner.get(name, offset=offset, length=length)
        contents = self._others[name]
        if contents is None:
            raise ObjectNotFoundError(f"object {name}: removed")
        return contents[offset : None if length is None else offset + length]

    def head(self, name: str) -> ObjectInfo:
        for info in self.list(name):
            if info.name == name:
                return info
        raise ObjectNotFoundError(f"object {name}: removed")

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        found = {info.name: info for info in self._inner.list(prefix)}
        for name, contents in self._others.items():
            if contents is None:
                found.pop(name, None)
            elif name.startswith(prefix):
                found[name] = ObjectInfo(name=name, size=len(contents), modified_ns=0)
        yield from (found[name] for name in sorted(found))


@dataclass(frozen=True)
class Span:
    """Where one record lies: a run of bytes of a pack."""

    name: str
    first: int
    last: int


class Site:
    """A small vault of three snapshots and a forgotten one, and where each of its files lies.

    Args:
        scene: Makes it.
    """

    def __init__(self, scene: Scene) -> None:
        source = random.Random(1)
        self.scene = scene
        scene.write("large", source.randbytes(600_000))
        for number in range(4):
            scene.write(f"small/{number % 2}/{number}", source.randbytes(2000))
        scene.back_up(Kind.FULL)
        scene.write("small/0/0", source.randbytes(3000))
        scene.write("large-2", source.randbytes(530_000))
        scene.back_up(Kind.INCREMENTAL)
        scene.back_up(Kind.FULL)
        scene.new_desk().forget([scene.seen.pop()[0]])
        scene.back_up(Kind.INCREMENTAL)
        self.objects = {info.name: info.size for info in scene.backend.list("")}
        self.places = {
            snapshot.short_id: dict(self._places_of(snapshot)) for snapshot, _ in scene.seen
        }
        self._numbers = itertools.count(1)

    def _places_of(self, snapshot: Snapshot) -> Iterator[tuple[bytes, set[Span]]]:
        desk = self.scene.new_desk()
        with desk.reader(snapshot) as reader:
            index = ChunkIndex(desk.folder / "index-web1.sqlite")
            for stored in walk(reader):
                spans = set()
                for extent in reader.extents(stored.content, Decompressor()):
                    for place in index.places(extent.chunk_id, DATA):
                        row = index.pack(place.pack)
                        session = SessionId(host=snapshot.session.host, seq=row.seq)
                        end = place.record.offset + place.record.stored
                        span = Span(layout.pack(session, row.sha256), place.record.offset, end)
                        spans.add(span)
                yield stored.entry.full_path, spans
            index.close()

    def of_kind(self, prefix: str) -> list[str]:
        return [name for name in self.objects if name.startswith(prefix)]

    def get(self, name: str) -> bytes:
        return self.scene.backend.get(name)

    def desk(self, others: dict[str, bytes | None]) -> Desk:
        backend = Tampered(self.scene.backend, others)
        return replace(self.scene.new_desk(), backend=backend)

    def is_found(self, others: dict[str, bytes | None]) -> bool:
        """Tell whether a check finds something."""
        try:
            return bool(self.desk(others).check().damages)
        except VaultdError:
            return True

    def damaged(self, others: dict[str, bytes | None], snapshot: Snapshot) -> set[bytes] | None:
        """Restore a snapshot; return the files that are damaged, or nothing if none came back.

        Whatever is not named as damaged must be right.
        """
        target = self.scene.folder / f"target-{next(self._numbers)}"
        try:
            report = self.desk(others).restore(snapshot, target)
        except VaultdError:
            return None
        named = {problem.path for problem in report.problems}
        assert {ProblemKind.DAMAGED} >= {problem.kind for problem in report.problems}
        if b"" in named:
            return None
        place = Path(f"{target}{self.scene.box}")
        self._compare(snapshot, snapshot_of(place), named)
        return named

    def _compare(self, snapshot: Snapshot, found: dict[bytes, Facts], named: set[bytes]) -> None:
        expected = next(facts for one, facts in self.scene.seen if one == snapshot)
        top = bytes(self.scene.box)[1:] + b"/"
        assert {top + path for path in expected if expected[path] != found.get(path)} == named

    def may_cost_all(self, name: str, damaged: set[bytes] | None) -> bool:
        """Tell whether nothing came back because a pack that holds trees is damaged."""
        header, _ = pack_format.decode_header(self.get(name), what=name)
        return damaged is None and header.kind == META

    def named(self, others: dict[str, bytes | None]) -> tuple[set[tuple[str, bytes]], set[str]]:
        """Check; return the files named as damaged, each with its snapshot.

        Besides, return the snapshots of which not all files could be told.
        """
        report = self.desk(others).check()
        files = {
            (snapshot, file.path)
            for file in report.files
            for snapshot in file.snapshots
            if not file.is_listing
        }
        unlisted = {
            snapshot for file in report.files for snapshot in file.snapshots if file.is_listing
        }
        return files, unlisted

    def foretold(self, name: str, contents: bytes | None) -> set[tuple[str, bytes]]:
        """Return the files, each with its snapshot, that lie where a pack is not what it was."""
        return {
            (snapshot.short_id, path)
            for snapshot, _ in self.scene.seen
            for path in self.touched(snapshot, name, contents)
        }

    def touched(self, snapshot: Snapshot, name: str, contents: bytes | None) -> set[bytes]:
        """Return the files that lie where the bytes of a pack are no longer what they were."""
        before = self.get(name)
        _, header = pack_format.decode_header(before, what=name)

        def differs(first: int, last: int) -> bool:
            return contents is None or contents[first:last] != before[first:last]

        return {
            path
            for path, spans in self.places[snapshot.short_id].items()
            for span in spans
            if span.name == name and (differs(0, header) or differs(span.first, span.last))
        }


def flipped(contents: bytes, at: int) -> bytes:
    return contents[:at] + bytes([contents[at] ^ 0x04]) + contents[at + 1 :]


def sampled(length: int, count: int) -> list[int]:
    """Return positions: the first and last ones, and some between."""
    step = max(1, length // count)
    return sorted({*range(0, length, step), 1, 5, 9, length - 9, length - 5, length - 1})


def free_text(site: Site, name: str) -> int:
    """Return where what is signed begins: `vault.json` has a remark for people before it."""
    return site.get(name).index(b'"signed"') if name == layout.VAULT else 0


def others_of(site: Site, name: str) -> dict[str, bytes | None]:
    """Return what may lie in an object's place, by what was done to it."""
    contents = site.get(name)
    kind = name.partition("/")[0] + "/"
    sisters = [other for other in site.of_kind(kind) if other != name]
    others: dict[str, bytes | None] = {
        "removed": None,
        "emptied": b"",
        "cut in half": contents[: len(contents) // 2],
        "cut by one": contents[:-1],
        "longer by one": contents + b"\0",
        "doubled": contents * 2,
        "rubbish": random.Random(3).randbytes(len(contents)),
    }
    others |= {f"swapped with {other}": site.get(other) for other in sisters[:2]}
    return others


def needed(site: Site) -> list[str]:
    """Return the objects that reading the live snapshots needs."""
    return [
        name for name in site.objects if not name.startswith("sess/") and "/0000000003" not in name
    ]
