"""Seeing through a thief: what was put first counts, whatever was done to its name since.

Whoever stole the credentials of a bucket that keeps versions can hide objects behind markers and
cover them with others, and cannot remove them while they are locked. A reader that finds nothing,
or bytes that are not right, takes the oldest version that is (FORMAT.md 1.2). Where nothing is
wrong this costs next to nothing: no request but one where an object is not there.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator
from itertools import groupby

from vaultd.backends.base import Backend, ObjectInfo
from vaultd.backends.versions import Version, Versions
from vaultd.backends.wrappers.forwarding import Forwarding
from vaultd.core.errors import (
    IntegrityError,
    ObjectNotFoundError,
    StorageError,
)
from vaultd.core.events import Note, Observer
from vaultd.format.keys import PolicyBody, VaultBody
from vaultd.vault import layout
from vaultd.vault.genuine import is_genuine, is_object
from vaultd.vault.trust import Trust, open_vault, read_vault

_NEVER_DELETED = (layout.POLICIES, layout.LOG, layout.SESSIONS, layout.OUTCOMES)
"""What lists show although it is hidden: the log says what is dead, not that an object is gone."""

_MAY_BE_DELETED = (layout.SESSIONS, layout.OUTCOMES)
"""What a keeper may remove when the log has said so: to find it hidden is no alarm."""


def recalling(backend: Backend, observer: Observer, trust: Trust | None = None) -> Backend:
    """Return a backend that sees through deletions and overwrites, where it can.

    Args:
        backend: Where a vault lies; one that sees through them keeps what it found out.
        observer: Told when something was deleted or replaced.
        trust: Whom to believe; ``None``: not known yet, so only the vault's description and its
            policies are told from rubbish.

    Raises:
        VaultNotFoundError: There is no vault.
        IntegrityError: Its description is damaged.
    """
    if isinstance(backend, Recalling):
        return backend if trust is None else backend.believing(trust)
    versions = backend.versions
    if versions is None:
        return backend
    first = Recalling(backend, versions, observer, None)
    return first.believing(_first_sight(read_vault(first)) if trust is None else trust)


def plain(backend: Backend) -> Backend:
    """Return the backend itself, of which a list shows only what was not deleted."""
    return backend.inner if isinstance(backend, Recalling) else backend


def recall(backend: Backend, name: str) -> bool:
    """Look for the version of an object that is right, after its bytes were found to be wrong.

    Returns:
        Whether there is one: from now on reads of that name give it, so try again, once.
    """
    return isinstance(backend, Recalling) and backend.recall(name)


def _first_sight(vault: VaultBody) -> Trust:
    policy = PolicyBody(
        vault_id=vault.vault_id, number=1, previous=b"", created_ns=0, hosts=(), keepers=(),
        recipients=(), min_age_days=0,
    )  # fmt: skip
    return Trust(vault=vault, policy=policy, policy_sha256=b"")


class Recalling(Forwarding):
    """Reads the first right version of what was deleted or replaced; used by several threads.

    Args:
        inner: Where a vault lies.
        versions: Its older versions.
        observer: Told once when something was deleted or replaced.
        trust: Whom to believe; ``None``: only the vault's description can be told from rubbish.
    """

    def __init__(
        self, inner: Backend, versions: Versions, observer: Observer, trust: Trust | None
    ) -> None:
        super().__init__(inner)
        self._old = versions
        self._observer = observer
        self._trust = trust
        self._lock = threading.Lock()
        self._sees: bool | None = None
        self._chosen: dict[str, Version] = {}
        self._proven: set[str] = set()
        self._hopeless: set[str] = set()
        self._told = False

    @property
    def inner(self) -> Backend:
        """The backend itself."""
        return self._inner

    def get(self, name: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """Return bytes of an object: see `Backend.get`; of its first version where need be."""
        if name == layout.VAULT and name not in self._chosen:
            self._look_beneath(name)  # it decides whom to believe, so the first one counts
        chosen = self._chosen.get(name)
        if chosen is not None:
            return self._old.get(chosen, offset=offset, length=length)
        try:
            found = self._inner.get(name, offset=offset, length=length)
        except ObjectNotFoundError:
            if not self._find_hidden(name):
                raise
            return self.get(name, offset=offset, length=length)
        is_whole = offset == 0 and (length is None or len(found) < length)
        if is_whole and is_object(name) and not self._is_right(name, found) and self.recall(name):
            return self.get(name, offset=offset, length=length)
        return found

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield objects in order: see `Backend.list`; of what is never deleted also the hidden."""
        if not prefix.startswith(_NEVER_DELETED) or not self._can_see():
            yield from self._inner.list(prefix)
            return
        both = heapq.merge(
            self._first_versions(prefix), self._inner.list(prefix), key=lambda info: info.name
        )
        for _, infos in groupby(both, key=lambda info: info.name):
            yield next(infos)

    def _first_versions(self, prefix: str) -> Iterator[ObjectInfo]:
        for name, versions in groupby(self._old.list(prefix), key=lambda version: version.name):
            first = next((version for version in versions if not version.is_marker), None)
            if first is not None:
                yield ObjectInfo(name=name, size=first.size, modified_ns=first.modified_ns)

    def recall(self, name: str) -> bool:
        """Look for the oldest version that is right: see `recall`."""
        with self._lock:
            if name in self._proven or name in self._hopeless:
                return name in self._proven
        for version in self._versions_of(name):
            if self._is_right(name, self._old.get(version)):
                with self._lock:
                    self._proven.add(name)
                self._choose(version, alarm=not version.is_newest)
                return True
        with self._lock:
            self._hopeless.add(name)
        return False

    def believing(self, trust: Trust) -> Recalling:
        """Return one that knows whom to believe, and what was found out so far."""
        other = Recalling(self._inner, self._old, self._observer, trust)
        with self._lock:
            other._chosen, other._proven = dict(self._chosen), set(self._proven)
            other._sees, other._told = self._sees, self._told
        return other

    def _find_hidden(self, name: str) -> bool:
        """Choose a version of what is not there; tell whether there is one."""
        versions = self._versions_of(name)
        if not versions:
            return False
        if len(versions) == 1 or not self.recall(name):
            self._choose(versions[0], alarm=not name.startswith(_MAY_BE_DELETED))
        return True

    def _look_beneath(self, name: str) -> None:
        versions = self._versions_of(name)
        if len(versions) > 1:
            self.recall(name)

    def _versions_of(self, name: str) -> tuple[Version, ...]:
        """Return the versions of an object, oldest first, as far as they can be seen."""
        if not self._can_see():
            return ()
        found = self._old.list(name)
        return tuple(one for one in found if one.name == name and not one.is_marker)

    def _can_see(self) -> bool:
        """Tell whether there are versions, and the right to list them; asked once."""
        if self._sees is None:
            try:
                self._sees = self._old.are_kept()
                if self._sees:
                    next(self._old.list(layout.VAULT), None)
            except StorageError as error:
                if error.retryable:
                    raise
                self._sees = False
        return self._sees

    def _is_right(self, name: str, data: bytes) -> bool:
        if self._trust is not None:
            return is_genuine(name, data, self._trust)
        try:
            open_vault(data)
        except IntegrityError:
            return False
        return True

    def _choose(self, version: Version, *, alarm: bool) -> None:
        with self._lock:
            self._chosen[version.name] = version
            tells = alarm and not self._told
            self._told = self._told or alarm
        if tells:
            text = (
                f"ALARM: {version.name} was deleted or replaced in the bucket; its first version "
                "is read instead, and that of others likewise: find out who did it, then bring "
                "them back with `vaultctl undelete --markers`"
            )
            self._observer(Note(text=text, warning=True))
