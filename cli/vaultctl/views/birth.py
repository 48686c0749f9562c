"""What to do once a vault was made: the most important words that vaultctl ever says."""

from __future__ import annotations

import re

from vaultctl.birth import Born
from vaultctl.output import Output
from vaultctl.text import plain, quoted


def show(output: Output, made: Born) -> None:
    """Write what was made, what to keep where, and what to type next."""
    created = made.created
    if output.json:
        output.record(
            "summary",
            {
                "vault_id": made.vault_id,
                "location": created.location,
                "host": created.host,
                "keeper": created.keeper,
                "fingerprints": list(created.trust.fingerprints),
                "kit": str(made.kit),
                "files": [file.name for file in made.files],
                "state": str(made.state),
                "recovery_keys": [one.label for one in created.trust.recipients],
            },
        )
        return
    output.line("\n".join(_lines(made)))


def _lines(made: Born) -> list[str]:
    created = made.created
    width = max(len(file.name) for file in made.files)
    keys = len(created.trust.recipients)
    which = "Either of the two recovery keys" if keys > 1 else "The one recovery key"
    none_left = "If you lose both" if keys > 1 else "If you lose it"
    kit = plain(str(made.kit))
    return [
        f"Made vault {made.vault_id[:8]} at {plain(created.location)}.",
        f"This machine may back up into it, as host {created.host}.",
        "",
        f"THE KEYS ARE IN {kit}",
        *(f"  {file.name:<{width}}  {file.advice}" for file in made.files if file.advice),
        "",
        f"{which} opens every backup, on any machine.",
        f"{none_left}, every backup is lost for ever: nobody can help you then.",
        "If somebody else gets one, they can read every backup.",
        "",
        "Now, in this order:",
        "  1. Print the sheets, or write the words down by hand. Put the papers into a safe.",
        "  2. Copy the .key files to a place away from this machine. Remember the passphrase.",
        "  3. Try each recovery key, the paper by typing its words:",
        *(f"       {command}" for command in _trials(made)),
        f"  4. Delete {kit} from this machine.",
        "  5. Back up:",
        f"       vaultctl backup {_place(made)} /path/to/data",
        "",
        f"Fingerprint, for other machines: {' '.join(created.trust.fingerprints)}",
    ]


def _trials(made: Born) -> list[str]:
    test = f"vaultctl key test {_place(made)}"
    files = [file.name for file in made.files if re.fullmatch(r"recovery-.*\.key", file.name)]
    return [test, *(f"{test} --recovery-key-file {quoted(str(made.kit / name))}" for name in files)]


def _place(made: Born) -> str:
    return f"-r {quoted(made.created.location)}"
