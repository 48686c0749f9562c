"""Index parts read into the index of a machine: all that are good, each as a whole."""

from __future__ import annotations

from pathlib import Path

from tests.support.vaults import Scene
from vaultd.backends.memory import MemoryBackend
from vaultd.core.snapshot import Kind
from vaultd.format.session import RootBody
from vaultd.vault import layout, roots
from vaultd.vault.chunk_index import ChunkIndex
from vaultd.vault.loading import load_parts


def test_parts_that_are_gone_are_named_and_the_others_are_whole(tmp_path: Path) -> None:
    scene = Scene(tmp_path, MemoryBackend())
    for number in range(3):
        scene.write(str(number), bytes([number]) * 600_000)
        scene.back_up(Kind.INCREMENTAL if number else Kind.FULL)
    last, _ = scene.seen[-1]
    index = ChunkIndex(tmp_path / "index.sqlite")
    with scene.machine.opened() as host:
        data = scene.backend.get(layout.outcome(last.session))
        root = roots.open_outcome(data, last.session, host.trust)
        assert isinstance(root, RootBody)
        first, gone, third = roots.open_refs(root, host.keys.current.index_key).parts
        name = layout.part(host.session_id(gone.seq), gone.sha256)
        kept = scene.backend.get(name)
        scene.backend.delete(name)

        def load() -> list[bytes]:
            failures = load_parts(
                scene.backend, index, (first, gone, third), root, host.keys.index_key
            )
            return [failure.part.sha256 for failure in failures]

        assert [gone.sha256] == load()
        assert index.part_number(gone.sha256) is None
        scene.backend.put(name, kept)
        assert [] == load()
        for row in host.index.packs_held([1, 2, 3]):
            assert row.sha256 in {index.pack(number).sha256 for number in range(1, 7)}
    index.close()
