"""The promises of every backend, each a function that tries it: see `conformance`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from msgspec import Struct

from vaultd.backends.base import Backend, Body, Spooled
from vaultd.core.errors import (
    CorruptObjectError,
    ObjectExistsError,
    ObjectNotFoundError,
    StorageError,
)
from vaultd.core.units import MIB

_RACERS = 16
_ROUNDS = 6
_LISTED = 200

Together = Callable[[Sequence[Callable[[], None]]], None]
"""Runs all calls at the same time; returns when all have ended, or raises what one of them did."""


class Bench(Struct, frozen=True, kw_only=True):
    """Where promises are tried.

    Attributes:
        make: Opens the backend, with a new connection every time.
        prefix: Names under which nothing else lies; ends in a slash.
        randomness: Returns that many random bytes.
        together: Runs calls in threads.
    """

    make: Callable[[], Backend]
    prefix: str
    randomness: Callable[[int], bytes]
    together: Together


def bytes_come_back_as_they_were(bench: Bench) -> None:
    """An object has exactly the bytes that were put, whatever they are, to any handle, at once."""
    writer, reader = bench.make(), bench.make()
    bodies = [b"", b"\0", bytes(range(256)), b"\r\n" * 300, bench.randomness(70_001)]
    for number, body in enumerate(bodies):
        name = f"{bench.prefix}{number}"
        writer.put(name, body)
        _expect_bytes(reader, name, body)


def put_refuses_to_overwrite(bench: Bench) -> None:
    """A put to a name that is taken is refused, and the object stays as it was."""
    backend = bench.make()
    name = f"{bench.prefix}once"
    backend.put(name, b"first")
    for body in (b"second", b"first", b""):
        _expect(_is_taken(backend, name, body), f"object {name}: overwritten by a second put")
    _expect_bytes(backend, name, b"first")


def one_of_many_racing_puts_wins(bench: Bench) -> None:
    """Of many puts to one name at the same time exactly one is accepted, and its bytes stay."""
    backend = bench.make()
    for number in range(_ROUNDS):
        name = f"{bench.prefix}{number}"
        winners: list[bytes] = []

        def race(racer: int, name: str = name, winners: list[bytes] = winners) -> None:
            body = b"racer %d" % racer
            if not _is_taken(backend, name, body):
                winners.append(body)

        bench.together([partial(race, racer) for racer in range(_RACERS)])
        _expect(
            len(winners) == 1,
            f"object {name}: {len(winners)} of {_RACERS} racing puts were accepted, expected 1",
        )
        _expect_bytes(backend, name, winners[0])


def a_list_shows_what_was_put_before(bench: Bench) -> None:
    """An object is in every list that begins after its put has returned, with its size."""
    backend = bench.make()
    expected: dict[str, int] = {}
    for number in range(_LISTED):
        # Old and new names mix, so that the new one is not always on the last page.
        name = f"{bench.prefix}{number * 7 % 10}/{number:06d}"
        backend.put(name, b"x" * (number % 5))
        expected[name] = number % 5
        found = {info.name: info.size for info in backend.list(bench.prefix)}
        _expect(
            found == expected,
            f"list of {bench.prefix}: {len(found)} objects after {len(expected)} puts",
        )


def lists_are_in_order_and_exact(bench: Bench) -> None:
    """A list has every object whose name begins so, no other, each once, ascending by name."""
    backend = bench.make()
    # Servers that keep folders tend to list a folder's contents before the names beside it.
    parts = ["web/1", "web/0", "web-1/1", "web.x", "web0/1", "wea/9", "wec", "Web/1", "web-1-a/b/c"]
    names = sorted(bench.prefix + part for part in parts)
    for name in names:
        backend.put(name, b"")
    for start in ("", "w", "we", "web", "web/", "web-1", "web-1/", "web/1", "web/12", "x", "W"):
        prefix = bench.prefix + start
        expected = [name for name in names if name.startswith(prefix)]
        found = [info.name for info in backend.list(prefix)]
        _expect(found == expected, f"list of {prefix}: {found}, expected {expected}")


def ranges_are_exact(bench: Bench) -> None:
    """A range has the bytes asked for, fewer only where the object ends, none beyond its end."""
    backend = bench.make()
    name = f"{bench.prefix}range"
    body = bench.randomness(10_000)
    backend.put(name, body)
    ends: list[tuple[int, int | None]] = [
        (0, 1),
        (0, 10_000),
        (0, 20_000),
        (9_999, 1),
        (4_096, 4_096),
    ]
    ends += [(9_990, 20), (10_000, 5), (12_345, 5), (0, 0), (500, None), (10_000, None), (500, 0)]
    for offset, length in ends:
        found = backend.get(name, offset=offset, length=length)
        stop = None if length is None else offset + length
        _expect(
            found == body[offset:stop],
            f"object {name}: wrong bytes for {length} from {offset}, {len(found)} long",
        )


def unknown_names_are_not_found(bench: Bench) -> None:
    """What was never put is not found: not by get, not by head, not in a list."""
    backend = bench.make()
    backend.put(f"{bench.prefix}known/a", b"a")
    for part in ("never", "known", "known/a/b", "known/b", "known/aa"):
        name = bench.prefix + part
        found_by = {
            "get": not _is_missing(backend.get, name),
            "get of a range": not _is_missing(backend.get, name, offset=3, length=2),
            "get of nothing": not _is_missing(backend.get, name, length=0),
            "head": not _is_missing(backend.head, name),
        }
        how = ", ".join(call for call, found in found_by.items() if found)
        _expect(not how, f"object {name}: found by {how}, but was never put")
    listed = [info.name for info in backend.list(f"{bench.prefix}unknown/")]
    _expect(not listed, f"list of {bench.prefix}unknown/: {listed}, expected nothing")


def head_tells_size_and_time(bench: Bench) -> None:
    """Head and list agree on the size and, within a second, on the time of writing."""
    backend = bench.make()
    name = f"{bench.prefix}sized"
    backend.put(name, b"s" * 12_345)
    head = backend.head(name)
    listed = list(backend.list(name))
    _expect(len(listed) == 1, f"list of {name}: {len(listed)} objects, expected 1")
    for found in (head, *listed):
        _expect(found.name == name, f"object {name}: called {found.name}")
        _expect(found.size == 12_345, f"object {name}: {found.size} bytes, expected 12345")  # noqa: PLR2004 - as put above
    apart_ns = abs(head.modified_ns - listed[0].modified_ns)
    _expect(apart_ns <= 1_000_000_000, f"object {name}: head and list differ by {apart_ns} ns")  # noqa: PLR2004 - one second


def spooled_bodies_are_stored_whole(bench: Bench) -> None:
    """An open file of 8 MiB is stored whole, from wherever it lies, and its offset stays."""
    backend = bench.make()
    contents = bench.randomness(MIB) * 8
    for number, folder in enumerate((backend.spool, None)):
        name = f"{bench.prefix}{number}"
        with _spooled(contents, None if folder is None else str(folder)) as body:
            backend.put(name, body, sha256=hashlib.sha256(contents).digest())
            offset = os.lseek(body.fd, 0, os.SEEK_CUR)
            _expect(offset == len(contents), f"object {name}: the put moved its file's offset")
        _expect_bytes(backend, name, contents)
        tail = backend.get(name, offset=5 * MIB - 3, length=MIB)
        _expect(tail == contents[5 * MIB - 3 : 6 * MIB - 3], f"object {name}: wrong range")


def a_refused_body_can_be_put_again(bench: Bench) -> None:
    """A spooled body that met a taken name can be put under another one, and stays as it was."""
    backend = bench.make()
    folder = backend.spool
    taken, free = f"{bench.prefix}taken", f"{bench.prefix}free"
    backend.put(taken, b"first")
    contents = bench.randomness(5_000)
    with _spooled(contents, None if folder is None else str(folder)) as body:
        _expect(_is_taken(backend, taken, body), f"object {taken}: overwritten by a second put")
        backend.put(free, body)
        _expect(_is_taken(backend, free, body), f"object {free}: overwritten by a second put")
    _expect_bytes(backend, taken, b"first")
    _expect_bytes(backend, free, contents)


def a_wrong_sha256_is_noticed_or_ignored(bench: Bench) -> None:
    """A body with a wrong SHA-256 is refused and not stored, or stored just as it is."""
    backend = bench.make()
    name = f"{bench.prefix}wrong"
    try:
        backend.put(name, b"some bytes", sha256=hashlib.sha256(b"other bytes").digest())
    except CorruptObjectError:
        _expect(_is_missing(backend.head, name), f"object {name}: stored though refused")
    else:
        _expect_bytes(backend, name, b"some bytes")


def long_and_odd_names_work(bench: Bench) -> None:
    """A name may have 200 bytes between slashes, 400 in all, and every character allowed."""
    backend = bench.make()
    odd = ["a" * 200, "A_~=@,.-z9", "-", "~", "_", "a..b", "a.", "deep/" * 20 + "end"]
    names = sorted(bench.prefix + part for part in odd)
    for name in names:
        backend.put(name, name.encode())
    for name in names:
        _expect_bytes(backend, name, name.encode())
    found = [info.name for info in backend.list(bench.prefix)]
    _expect(found == names, f"list of {bench.prefix}: {found}, expected {names}")


def unsafe_names_are_refused(bench: Bench) -> None:
    """A name that could leave its folder, or that some backend cannot keep, is refused by all."""
    backend = bench.make()
    unsafe = ["", "/", "/a", "a/", "a//b", "..", "a/../b", "./a", ".a", "a/.b", "a\0", "a b", "ä"]
    unsafe += ["a\\b", "a\n", "b" * 256, "c/" * 450 + "c", "a%2fb", "a?b", "lost+found"]
    for name in unsafe:
        _expect(
            _is_refused(backend.put, name, b"x")
            and _is_refused(backend.get, name)
            and _is_refused(backend.head, name)
            and _is_refused(backend.delete, name),
            f"name {name[:40]!r}: taken, expected to be refused",
        )
    for prefix in ("/", "..", "a//", "a/../", "a b"):
        refused = _is_refused(lambda start: list(backend.list(start)), prefix)
        _expect(refused, f"prefix {prefix!r}: taken, expected to be refused")


def many_threads_may_use_it(bench: Bench) -> None:
    """Puts, gets and lists from many threads at once do not disturb each other."""
    backend = bench.make()

    def work(worker: int) -> None:
        mine = f"{bench.prefix}{worker}/"
        for number in range(10):
            body = b"%d.%d." % (worker, number) * (1 + 300 * number)
            backend.put(f"{mine}{number}", body)
            _expect_bytes(backend, f"{mine}{number}", body)
        names = [info.name for info in backend.list(mine)]
        _expect(names == [f"{mine}{number}" for number in range(10)], f"list of {mine}: {names}")

    bench.together([partial(work, worker) for worker in range(8)])


def what_is_deleted_is_gone(bench: Bench) -> None:
    """A deleted object is in no get, head or list that begins later, and its name is free again."""
    backend, other = bench.make(), bench.make()
    name, beside = f"{bench.prefix}gone", f"{bench.prefix}gone-not"
    backend.put(name, b"one")
    backend.put(beside, b"beside")
    backend.delete(name)
    for handle in (backend, other):
        gone = _is_missing(handle.get, name) and _is_missing(handle.head, name)
        _expect(gone, f"object {name}: still there")
        found = [info.name for info in handle.list(bench.prefix)]
        _expect(found == [beside], f"list of {bench.prefix}: {found}, expected {[beside]}")
    backend.put(name, b"two")
    _expect_bytes(other, name, b"two")


def deleting_what_is_missing_is_fine(bench: Bench) -> None:
    """To delete an object that is not there, or no longer, is no error."""
    backend = bench.make()
    name = f"{bench.prefix}here"
    backend.put(name, b"x")
    for missing in (f"{bench.prefix}never", f"{bench.prefix}no/folder/either", name, name):
        backend.delete(missing)
    _expect(_is_missing(backend.head, name), f"object {name}: still there")


@contextlib.contextmanager
def _spooled(contents: bytes, folder: str | None) -> Iterator[Spooled]:
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        file.write(contents)
        yield Spooled(fd=file.fileno(), size=len(contents))


def _expect(holds: bool, message: str) -> None:  # noqa: FBT001 - it is an assertion
    if not holds:
        raise StorageError(message)


def _expect_bytes(backend: Backend, name: str, expected: bytes) -> None:
    found = backend.get(name)
    _expect(
        found == expected,
        f"object {name}: other bytes than were put, {len(found)} instead of {len(expected)} long",
    )


def _is_taken(backend: Backend, name: str, body: Body) -> bool:
    try:
        backend.put(name, body)
    except ObjectExistsError:
        return True
    return False


def _is_missing(call: Callable[..., object], *arguments: object, **named: object) -> bool:
    try:
        call(*arguments, **named)
    except ObjectNotFoundError:
        return True
    return False


def _is_refused(call: Callable[..., object], *arguments: object) -> bool:
    try:
        call(*arguments)
    except (ObjectExistsError, ObjectNotFoundError):
        return False
    except StorageError:
        return True
    return False
