"""Opening the snapshot that a reference names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from vaultctl.context import App
from vaultctl.listing import Listed, opened_list, read_context
from vaultctl.text import plain
from vaultctl.views.snapshots import line
from vaultd.core.errors import IntegrityError, KeyringError, ObjectNotFoundError
from vaultd.vault.reader import ReadContext, SnapshotReader
from vaultd.vault.select import Filter, Reference, chosen, resolve

_SHOWN = 5
"""Stores named when there was a choice."""


class Open(Struct, frozen=True, kw_only=True):
    """A snapshot, open for reading.

    Attributes:
        listed: The vault and its snapshots.
        reader: The snapshot.
        path: The path that was named with it; ``b""`` is all of it.
    """

    listed: Listed
    reader: SnapshotReader
    path: bytes


@contextmanager
def opened_snapshot(app: App, reference: str, wanted: Filter) -> Iterator[Open]:
    """Open a snapshot with a recovery key, which is asked for when none was given.

    Args:
        app: The run.
        reference: As typed, see `vaultd.vault.select`.
        wanted: Filters for ``latest``.

    Raises:
        ConfigError: The reference cannot be understood, or names several.
        ObjectNotFoundError: It names none.
        KeyringError: No recovery key was given, and nobody can be asked.
    """
    with opened_list(app, needs_key=True) as listed:
        found = resolve(reference, listed.snapshots, wanted)
        app.output.say(f"snapshot {line(found.snapshot)}")
        if reference.startswith("latest"):
            _mention_others(app, listed, wanted)
        with SnapshotReader(read_context(app, listed), found.snapshot) as reader:
            yield Open(listed=listed, reader=reader, path=found.path)


def _mention_others(app: App, listed: Listed, wanted: Filter) -> None:
    """Say so when ``latest`` was chosen among stores that have nothing to do with each other."""
    stores = {(one.session.host, one.store) for one in chosen(listed.snapshots, wanted)}
    if len(stores) > 1:
        names = sorted(plain(f"{store or '?'} on {host}") for host, store in stores)
        shown = ", ".join(names[:_SHOWN]) + (" …" if len(names) > _SHOWN else "")
        app.output.say(f"the newest of {len(names)} stores ({shown}); choose with --store and -H")


@contextmanager
def opened_two(
    app: App, references: tuple[str, str], wanted: Filter
) -> Iterator[tuple[Open, Open]]:
    """Open two snapshots; see `opened_snapshot`."""
    with opened_list(app, needs_key=True) as listed:
        context = read_context(app, listed)
        first, second = (resolve(text, listed.snapshots, wanted) for text in references)
        with (
            _reader(context, first) as left,
            _reader(context, second) as right,
        ):
            yield (
                Open(listed=listed, reader=left, path=first.path),
                Open(listed=listed, reader=right, path=second.path),
            )


def _reader(context: ReadContext, found: Reference) -> SnapshotReader:
    return SnapshotReader(context, found.snapshot)


def readable(app: App, listed: Listed, wanted: Filter) -> Iterator[SnapshotReader]:
    """Open one snapshot after the other, newest first; those that cannot be are left out."""
    context = read_context(app, listed)
    for snapshot in reversed([one for one in listed.snapshots if wanted.matches(one)]):
        try:
            reader = SnapshotReader(context, snapshot)
        except (IntegrityError, KeyringError, ObjectNotFoundError) as error:
            app.output.warn(f"snapshot {line(snapshot)}: {error.message}")
            continue
        with reader:
            yield reader
