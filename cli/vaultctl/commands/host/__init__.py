"""Let machines back up into the vault, and shut them out.

On the new machine `host request`; where the admin key is, `host enrol` answers it; on the new
machine again `host accept` takes the answer. `--here` does all three at once.
"""

from __future__ import annotations

from vaultctl.lazy import LazyGroup

command = LazyGroup(
    name="host",
    help=__doc__,
    package=__name__,
    sections={"Commands": ("request", "enrol", "accept", "list", "revoke")},
    aliases={"enroll": "enrol"},
    no_args_is_help=True,
)
