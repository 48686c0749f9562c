"""A folder behaves as the model in memory does, whatever is done to both."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from vaultd.backends.base import Backend, Spooled
from vaultd.backends.local import LocalBackend
from vaultd.backends.local_placing import Placing
from vaultd.backends.local_system import System
from vaultd.backends.memory import MemoryBackend
from vaultd.core.errors import StorageError

# A name is never both an object and a folder of others: layouts do not make such names.
FOLDERS = st.lists(st.sampled_from(["d", "d-", "d.x", "dd", "D"]), max_size=3)
NAMES = st.builds(
    lambda folders, leaf: "/".join([*folders, leaf]),
    FOLDERS,
    st.sampled_from(["1", "1.0", "1-1", "10", "~", "_"]),
)
ODD_NAMES = st.sampled_from(["", "/", "..", "d//1", "d/../1", "1 1", ".d/1", "d/" * 500 + "1"])
PREFIXES = NAMES.flatmap(lambda name: st.integers(0, len(name)).map(lambda end: name[:end]))


class Quick(System):
    """Leaves out what only a power cut would show."""

    def flush(self, fd: int) -> None: ...

    def flush_folder(self, path: str) -> None: ...


class LocalAgainstMemory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="vaultd-model-"))
        self.model = MemoryBackend()
        self.local = LocalBackend(self.folder, system=Quick())

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def both(self, call: Callable[[Backend], object]) -> None:
        outcomes: list[object] = []
        for backend in (self.model, self.local):
            try:
                outcomes.append(call(backend))
            except StorageError as exc:
                outcomes.append(type(exc))
        assert outcomes[0] == outcomes[1]

    @rule(name=NAMES | ODD_NAMES, body=st.binary(max_size=40))
    def put(self, name: str, body: bytes) -> None:
        self.both(lambda backend: backend.put(name, body))

    @rule(name=NAMES, body=st.binary(max_size=40), cut=st.integers(-3, 3))
    def put_spooled(self, name: str, body: bytes, cut: int) -> None:
        def call(backend: Backend) -> None:
            fd = os.open(backend.spool or self.folder, os.O_TMPFILE | os.O_RDWR, 0o600)
            os.write(fd, body)
            try:
                backend.put(name, Spooled(fd=fd, size=max(0, len(body) + cut)))
            finally:
                os.close(fd)

        self.both(call)

    @rule(
        name=NAMES | ODD_NAMES, offset=st.integers(-1, 50), length=st.none() | st.integers(-1, 50)
    )
    def get(self, name: str, offset: int, length: int | None) -> None:
        self.both(lambda backend: backend.get(name, offset=offset, length=length))

    @rule(name=NAMES | ODD_NAMES)
    def head(self, name: str) -> None:
        self.both(lambda backend: backend.head(name).size)

    @rule(prefix=PREFIXES | ODD_NAMES)
    def list(self, prefix: str) -> None:
        self.both(lambda backend: [(info.name, info.size) for info in backend.list(prefix)])

    @rule(name=NAMES | ODD_NAMES)
    def delete(self, name: str) -> None:
        self.both(lambda backend: backend.delete(name))

    @rule(placing=st.sampled_from(Placing))
    def open_again(self, placing: Placing) -> None:
        self.local = LocalBackend(self.folder, system=Quick(), placing=placing)

    @precondition(lambda self: (self.folder / ".tmp").is_dir())
    @rule()
    def nothing_temporary_is_left(self) -> None:
        assert [] == list((self.folder / ".tmp").iterdir())


TestLocalAgainstMemory = LocalAgainstMemory.TestCase
TestLocalAgainstMemory.settings = settings(stateful_step_count=40)
