"""Whether an entry of the snapshot replaces what is there."""

from __future__ import annotations

import os
import stat
from enum import StrEnum

from msgspec import Struct

from vaultd.core.entry import Entry
from vaultd.core.tree import is_directory
from vaultd.stores.files.options import Overwrite, TargetOptions
from vaultd.stores.files.owners import OwnerRule, Owners


class Decision(StrEnum):
    """What a restore does about one entry."""

    CREATE = "create"
    REPLACE = "replace"
    KEEP = "keep"
    ENTER = "enter"
    BLOCKED = "blocked"


def owners_of(options: TargetOptions) -> Owners | None:
    """Return what translates owners, or ``None`` when they are not restored.

    Raises:
        ConfigError: A map names a user or group that is not known here.
    """
    if options.owner is OwnerRule.NONE:
        return None
    return Owners(options.owner, options.users, options.groups, options.user_map, options.group_map)


class Judge(Struct, frozen=True):
    """Applies the overwrite rule.

    Attributes:
        options: The rule and what may be deleted.
        owners: Translates owners; ``None`` where owners do not count.
        privileged: Owners can be set, so a wrong one is a change.
    """

    options: TargetOptions
    owners: Owners | None
    privileged: bool

    def replaces(self, entry: Entry, there: os.stat_result) -> bool:
        """Tell whether an entry goes in the place of something else with its name.

        Args:
            entry: What shall be there.
            there: What is there, links not followed.
        """
        rule = self.options.overwrite
        if rule is Overwrite.NEVER:
            return False
        if rule is Overwrite.IF_NEWER:
            return entry.mtime_ns > there.st_mtime_ns
        if rule is Overwrite.IF_CHANGED:
            return not self._is_unchanged(entry, there)
        return True

    def decide(self, entry: Entry, there: os.stat_result | None) -> Decision:
        """Tell what would be done about an entry, without doing it."""
        if there is None:
            return Decision.CREATE
        if is_directory(entry.mode) and stat.S_ISDIR(there.st_mode):
            return Decision.ENTER
        if self.replaces(entry, there):
            return Decision.REPLACE
        return Decision.BLOCKED if is_directory(entry.mode) else Decision.KEEP

    def _is_unchanged(self, entry: Entry, there: os.stat_result) -> bool:
        same = (there.st_mode, there.st_mtime_ns) == (entry.mode, entry.mtime_ns)
        if not same or not stat.S_ISREG(there.st_mode) or there.st_size != entry.size:
            return False
        # A second name, perhaps outside of the target, would keep seeing this file.
        if there.st_nlink > 1 and not entry.extra.link_group:
            return False
        if self.owners is None or not self.privileged:
            return True
        return self.owners.local(entry.uid, entry.gid) == (there.st_uid, there.st_gid)
