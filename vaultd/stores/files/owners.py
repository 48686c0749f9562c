"""Who owns a restored entry: the numbers of the snapshot, or the local ids of the same names."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Callable, Mapping
from enum import StrEnum

from vaultd.core.errors import ConfigError


class OwnerRule(StrEnum):
    """Where owners come from."""

    IDS = "ids"
    NAMES = "names"
    NONE = "none"


class Owners:
    """Translates owners of a snapshot into local ids; answers are remembered.

    Args:
        rule: ``ids`` takes the numbers, ``names`` looks the names up here and takes the number
            where there is no such name.
        users: Names of the snapshot's users.
        groups: Names of its groups.
        user_map: From a name or decimal id of the snapshot to a local name or decimal id; goes
            before everything else.
        group_map: The same for groups.

    Raises:
        ConfigError: A map names a user or group that is not known here.
    """

    def __init__(
        self,
        rule: OwnerRule,
        users: Mapping[int, str],
        groups: Mapping[int, str],
        user_map: Mapping[str, str],
        group_map: Mapping[str, str],
    ) -> None:
        by_name = rule is OwnerRule.NAMES
        self._users = _Ids(users, user_map, _user_id, by_name=by_name)
        self._groups = _Ids(groups, group_map, _group_id, by_name=by_name)
        self._known: dict[tuple[int, int], tuple[int, int]] = {}

    def local(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the local owner and group for those of an entry."""
        known = self._known.get((uid, gid))
        if known is None:
            known = (self._users.local(uid), self._groups.local(gid))
            self._known[uid, gid] = known
        return known


class _Ids:
    def __init__(
        self,
        names: Mapping[int, str],
        chosen: Mapping[str, str],
        look_up: Callable[[str], int | None],
        *,
        by_name: bool,
    ) -> None:
        self._names = names
        self._chosen = chosen
        self._look_up = look_up
        self._by_name = by_name
        for wanted in chosen.values():
            if look_up(wanted) is None and not wanted.isdecimal():
                raise ConfigError(
                    f"owner map names {wanted!r}, which is not known on this machine",
                    hint="Map to a user or group of this machine, or to a decimal id.",
                )

    def local(self, number: int) -> int:
        name = self._names.get(number)
        wanted = self._chosen.get(name or "", self._chosen.get(str(number)))
        if wanted is None and self._by_name:
            wanted = name
        if wanted is None:
            return number
        found = self._look_up(wanted)
        if found is not None:
            return found
        return int(wanted) if wanted.isdecimal() else number


def _user_id(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def _group_id(name: str) -> int | None:
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
