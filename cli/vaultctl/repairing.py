"""Repairing objects: which target, from which others, and what is wrong there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from vaultctl import keys
from vaultctl.access import Place, opened_copies
from vaultctl.context import App
from vaultctl.listing import key_finder
from vaultctl.text import plural
from vaultd.core.errors import ConfigError, IntegrityError, VaultdError
from vaultd.maintenance.check import CheckContext, CheckReport, check
from vaultd.maintenance.heal import Copy, HealContext, Healed, Outcome, heal, survey
from vaultd.maintenance.scrub import Heal, heal_nothing
from vaultd.vault.catalog import Catalog, KeyFinder
from vaultd.vault.genuine import is_object
from vaultd.wiring.replicas import Targets, replica_named

_FIRST = "the vault"


def repaired(
    app: App, names: Sequence[str], at: str | None, *, read_data: bool, dry_run: bool
) -> tuple[Healed, ...]:
    """Heal objects of one target from the others.

    Args:
        app: The run.
        names: Which; none means what is found to be wrong.
        at: The replica to heal; ``None``: the first target.
        read_data: Read every pack to find what is wrong.
        dry_run: Change nothing.

    Raises:
        ConfigError: A name is none of an object, or the target cannot be reached.
        StorageError: It does not answer.
    """
    for name in names:
        if not is_object(name):
            raise ConfigError(f"{name!r}: not the name of an object of a vault")
    replica_named(app.settings, at)
    with opened_copies(app) as place:
        context = _context(app, place, at)
        if names:
            return heal(context, names, dry_run=dry_run)
        read_keys = keys.given_keys(app, place.backend, place.trust)
        find_keys = key_finder(place.identity, read_keys)
        with _catalog() as catalog:
            catalog.refresh(place.backend, place.trust, find_keys)
            forgotten = catalog.forgotten()
            lost = list(survey(context, forgotten.__contains__))
            signed = heal(context, lost, dry_run=dry_run)
        try:
            report = _checked(context, place, find_keys, read_data=read_data)
        except IntegrityError as error:
            app.output.warn(f"packs and index parts could not be looked at: {error.message}")
            return signed
        if report.hidden:
            count = plural(len(report.hidden), "snapshot")
            app.output.warn(f"{count} could not be looked at: give a recovery key to see all")
        # What a scrub has found damaged is looked at again, even when not everything is read.
        wrong = {one.name for one in report.damages} | set(report.suspects)
        damaged = {name for name in wrong if is_object(name)} - set(lost)
        return _together(signed, heal(context, damaged, dry_run=dry_run))


def healing(app: App) -> Heal:
    """Return what puts good copies in the place of bad objects, if there is a second copy.

    What cannot be healed now is told, and left for `vaultctl repair objects`.
    """
    if not app.settings.config.vault.replicas:
        return heal_nothing

    def heal_now(names: Collection[str]) -> Collection[str]:
        try:
            with opened_copies(app) as place:
                wanted = [name for name in names if is_object(name)]
                done = heal(_context(app, place, None), wanted, dry_run=False)
        except VaultdError as error:
            app.output.warn(f"nothing could be healed: {error.message}")
            return ()
        return [one.name for one in done if one.outcome in {Outcome.GOOD, Outcome.HEALED}]

    return heal_now


def _together(*results: Iterable[Healed]) -> tuple[Healed, ...]:
    return tuple(sorted((one for part in results for one in part), key=lambda one: one.name))


def _context(app: App, place: Place, at: str | None) -> HealContext:
    targets = place.targets or Targets(first=None, replicas=(), observer=app.progress)
    reached = {} if targets.first is None else {_FIRST: targets.first}
    reached |= {one.table.name: one.backend.inner for one in targets.replicas}
    wanted = at or _FIRST
    if wanted not in reached:
        raise ConfigError(
            f"{wanted} cannot be reached, so it cannot be healed",
            hint="If all of it is lost, make a new place and copy everything with `vaultctl "
            "replicate`, from the replica as the vault's location.",
        )
    others = tuple(
        Copy(name=name, backend=backend) for name, backend in reached.items() if name != wanted
    )
    return HealContext(
        target=reached[wanted],
        copies=others,
        trust=place.trust,
        clock=app.clock,
        observer=app.progress,
    )


@contextmanager
def _catalog() -> Iterator[Catalog]:
    """Open a catalog that knows nothing: what a target holds now is what is asked."""
    with (
        TemporaryDirectory(prefix="vaultd-") as folder,
        closing(Catalog(Path(folder) / "catalog.sqlite")) as catalog,
    ):
        yield catalog


def _checked(
    context: HealContext, place: Place, find_keys: KeyFinder, *, read_data: bool
) -> CheckReport:
    with _catalog() as catalog:
        looking = CheckContext(
            backend=context.target,
            trust=context.trust,
            catalog=catalog,
            find_keys=find_keys,
            keys=None,
            folder=place.identity.folder,
            clock=context.clock,
            observer=context.observer,
        )
        return check(looking, read_data=read_data)
