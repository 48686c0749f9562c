"""What to read of all that snapshots need, and in which order; and what is known of the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from msgspec import Struct

from vaultd.core.snapshot import SessionId
from vaultd.crypto import hashing
from vaultd.maintenance.ledger import Ledger, Result
from vaultd.maintenance.references import References
from vaultd.maintenance.subsets import Amount, Ratio, Sample, Share, is_in
from vaultd.policy.scrubbing import Allowance, Due, ScrubRule, why_due
from vaultd.policy.seats import Health
from vaultd.vault import layout

_SCHEMA = """
CREATE TABLE IF NOT EXISTS reading (object INTEGER PRIMARY KEY, read_ns INTEGER, result TEXT);
CREATE TABLE IF NOT EXISTS suspect (object INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS chosen (
  number INTEGER PRIMARY KEY, object INTEGER, size INTEGER, due TEXT)
"""
_THERE = (
    " FROM object LEFT JOIN reading ON reading.object=id LEFT JOIN suspect ON suspect.object=id"
    " WHERE EXISTS (SELECT 1 FROM need WHERE need.object=id AND need.size=object.size)"
)
_CANDIDATES = "SELECT id, name, size, read_ns, suspect.object IS NOT NULL" + _THERE
_BY_NAME = " ORDER BY name"
_BY_LOT = (
    " ORDER BY read_ns IS NOT NULL, CASE WHEN read_ns IS NULL THEN -modified_ns END, lot(name)"
)
_BY_AGE = (
    " ORDER BY read_ns IS NOT NULL OR suspect.object IS NOT NULL, suspect.object IS NULL,"
    " coalesce(read_ns, -modified_ns), name"
)
_NEEDED = " FROM object JOIN need ON need.object=id LEFT JOIN reading ON reading.object=id"

Candidate = tuple[int, str, int, int | None, bool]
"""Number, name and bytes of an object, when it was read last, and whether it is suspect."""


class Bad(Struct, frozen=True, kw_only=True):
    """An object that is needed and not what it should be."""

    name: str
    size: int
    result: Result


class Planned(Struct, frozen=True, kw_only=True):
    """How many objects are to be read for one reason, and their bytes together."""

    due: Due
    count: int
    size: int


class Age(Struct, frozen=True, kw_only=True):
    """What was read since an instant, and what is known of the rest.

    Attributes:
        read: Bytes of packs and index parts that were read since.
        rest: How many of those needed were not.
        rest_size: Their bytes.
        never: How many of them were never read.
        oldest_ns: When that of the others which was read first was read; ``None``: there is none.
    """

    read: int
    rest: int
    rest_size: int
    never: int
    oldest_ns: int | None


class Agenda:
    """What is needed, compared with what the ledger remembers.

    Args:
        references: What is needed.
        ledger: What was read.
        now_ns: The time.
    """

    def __init__(self, references: References, ledger: Ledger, now_ns: int) -> None:
        self._db = references.db
        self._references = references
        self._ledger = ledger
        self._db.executescript(_SCHEMA)
        self.refresh(now_ns)

    def refresh(self, now_ns: int) -> None:
        """Look into the ledger again; what is gone and not needed is dropped from it.

        Readings of the future, noted when the clock was wrong, count as very old: nobody knows
        when they were made, and they must not keep anything from being read for years.
        """
        unknown = []
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM reading")
        for one in self._ledger.readings():
            done = self._db.execute(
                "INSERT INTO reading SELECT id, ?, ? FROM object WHERE name=?",
                (one.read_ns if one.read_ns <= now_ns else 0, one.result, one.name),
            )
            if not done.rowcount and not one.name.startswith(layout.OUTCOMES):
                unknown.append(one.name)
        bad = (Result.DAMAGED, Result.LOST)
        self._db.execute(
            "INSERT OR IGNORE INTO suspect SELECT object FROM reading WHERE result IN (?,?)", bad
        )
        self._db.execute("COMMIT")
        self._ledger.drop(unknown)

    def suspect(self, names: Collection[str]) -> None:
        """Let objects be read soon, because somebody said that they are bad."""
        self._db.executemany(
            "INSERT OR IGNORE INTO suspect SELECT id FROM object WHERE name=?",
            ((name,) for name in names),
        )

    # Choosing

    def choose(self, sample: Sample | None) -> None:
        """Choose what a check reads: everything, a share, or a sample."""
        wanted = self._candidates(_BY_NAME) if sample is None else self._sampled(sample)
        self._fill((number, size, None) for number, _, size, *_ in wanted)

    def _sampled(self, sample: Sample) -> Iterator[Candidate]:
        subset = sample.subset
        share = subset if isinstance(subset, Share) else None
        order = _BY_NAME if share is not None or subset is None else _BY_LOT
        key = hashing.sha256(sample.random(16))
        self._db.create_function("lot", 1, lambda name: hashing.sha256(key + name.encode()))
        left = self._limit(subset, sample.shard)
        for one in self._candidates(order):
            if is_in(one[1], share, lot=0) and is_in(one[1], sample.shard, lot=1):
                if left is not None and left <= 0:
                    return
                left = None if left is None else left - one[2]
                yield one

    def _limit(self, subset: object, shard: Share | None) -> int | None:
        if isinstance(subset, Amount):
            return subset.size
        if not isinstance(subset, Ratio):
            return None
        whole = sum(one[2] for one in self._candidates("") if is_in(one[1], shard, lot=1))
        return round(whole * subset.ratio)

    def choose_due(
        self,
        rule: ScrubRule,
        allowance: Allowance,
        now_ns: int,
        most_requests: Callable[[int], int],
        shard: Share | None = None,
    ) -> None:
        """Choose what a scrub reads, the most urgent first.

        Args:
            rule: What is due.
            allowance: How much may be read.
            now_ns: The time.
            most_requests: Returns how many requests an object of so many bytes may take.
            shard: Only what one of several machines has to read.
        """

        def chosen() -> Iterator[tuple[int, int, str]]:
            for number, name, size, read_ns, suspect in self._candidates(_BY_AGE):
                if not is_in(name, shard, lot=1):
                    continue
                due = why_due(read_ns, suspect=suspect, now_ns=now_ns, rule=rule)
                if not allowance.take(due, size, most_requests(size)):
                    return
                yield number, size, due

        self._fill(chosen())

    def _candidates(self, order: str) -> Iterator[Candidate]:
        return self._db.execute(_CANDIDATES + order)

    def _fill(self, rows: Iterator[tuple[object, ...]]) -> None:
        self._db.execute("BEGIN")
        self._db.execute("DELETE FROM chosen")
        self._db.executemany("INSERT INTO chosen (object, size, due) VALUES (?,?,?)", rows)
        self._db.execute("COMMIT")

    def chosen(self) -> Iterator[tuple[str, int]]:
        """Return name and bytes of what was chosen, in order."""
        return self._db.execute(
            "SELECT name, chosen.size FROM chosen JOIN object ON object=id ORDER BY number"
        )

    def planned(self) -> tuple[Planned, ...]:
        """Return how much was chosen for which reason."""
        rows = self._db.execute(
            "SELECT due, count(*), sum(size) FROM chosen GROUP BY due ORDER BY min(number)"
        )
        return tuple(
            Planned(due=Due(due) if due else Due.NEW, count=count, size=size)
            for due, count, size in rows
        )

    # Knowing

    def bad(self) -> list[Bad]:
        """Return what is needed and is missing, of another length, or bad as the ledger says."""
        rows = self._db.execute(
            "SELECT name, need.size, object.size, result"
            + _NEEDED
            + " WHERE object.size IS NULL OR object.size<>need.size OR result IN (?,?)"
            " GROUP BY id ORDER BY name",
            (Result.DAMAGED, Result.LOST),
        )
        return [
            Bad(name=name, size=size, result=_result(size, found, result))
            for name, size, found, result in rows
        ]

    def age(self, since_ns: int, shard: Share | None = None) -> Age:
        """Return what was read since an instant, and what is known of the rest, in a shard."""
        rows = self._db.execute(
            "SELECT name, read_ns, max(need.size) AS size" + _NEEDED + " GROUP BY id"
        )
        read = rest = rest_size = never = 0
        oldest_ns: int | None = None
        for name, read_ns, size in rows:
            if not is_in(name, shard, lot=1):
                continue
            if read_ns is not None and read_ns >= since_ns:
                read += size
                continue
            rest += 1
            rest_size += size
            never += read_ns is None
            if read_ns is not None:
                oldest_ns = read_ns if oldest_ns is None else min(oldest_ns, read_ns)
        return Age(read=read, rest=rest, rest_size=rest_size, never=never, oldest_ns=oldest_ns)

    def health(self, since_ns: int) -> dict[SessionId, Health]:
        """Return what is known of every snapshot by readings since an instant."""
        found = dict.fromkeys((one.session for one in self._references.live), Health.GOOD)
        hidden = {snapshot.session for snapshot in self._references.hidden}
        found |= dict.fromkeys(hidden, Health.UNKNOWN)
        rows = self._db.execute(
            "SELECT snapshot, max(object.size IS NULL OR object.size<>need.size"
            " OR result IN (?,?)), max(read_ns IS NULL OR read_ns<?)"
            + _NEEDED
            + " WHERE name GLOB ? GROUP BY snapshot",
            (Result.DAMAGED, Result.LOST, since_ns, f"{layout.PACKS}*"),
        )
        for number, is_bad, is_old in rows:
            session = self._references.snapshots[number].session
            if is_bad or is_old:
                found[session] = Health.DAMAGED if is_bad else Health.UNKNOWN
        unreadable = (one.snapshot.session for one in self._references.unreadable)
        return found | dict.fromkeys(unreadable, Health.DAMAGED)


def proven(
    ledger: Ledger, references: References, *, now_ns: int, within_s: int
) -> dict[SessionId, Health]:
    """Return which snapshots are known to be good, for whoever decides what may go.

    A snapshot is good when every pack that it needs is there and was lately read with a good
    result; damaged when one is missing or was bad when it was last read; else it is unknown.

    Args:
        ledger: What was read.
        references: What live snapshots need, and what is there.
        now_ns: The time.
        within_s: Readings that are older, in seconds, do not count.
    """
    return Agenda(references, ledger, now_ns).health(now_ns - within_s * 10**9)


def _result(size: int, found: int | None, result: str | None) -> Result:
    if found is None:
        return Result.LOST
    if found != size or result is None:
        return Result.DAMAGED
    return Result(result)
