"""Options that every command has, before or after its name; and what a command is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from click.core import ParameterSource
from msgspec import Struct, field


class Given(Struct):
    """What was typed, while it is being read.

    Attributes:
        environment: Variables of the process.
        options: Global options by name; the last one given counts.
    """

    environment: Mapping[str, str]
    options: dict[str, Any] = field(default_factory=dict)


def global_options(*, hidden: bool = False) -> list[click.Parameter]:
    """Return the options that every command has.

    Args:
        hidden: Leave them out of the help text.
    """
    return [
        click.Option(
            declarations, expose_value=False, callback=_remember, hidden=hidden, **settings
        )
        for declarations, settings in _TABLE
    ]


_TABLE: tuple[tuple[list[str], dict[str, Any]], ...] = (
    (
        ["-r", "--vault"],
        {
            "metavar": "LOCATION",
            "help": "Where the vault lies: a folder, s3://BUCKET/PREFIX, "
            "or s3:https://HOST/BUCKET/PREFIX. Also VAULTD_VAULT.",
        },
    ),
    (["--vault-file"], {"metavar": "FILE", "help": "File that holds the location."}),
    (
        ["--config"],
        {"metavar": "FILE", "help": "Configuration file. Also VAULTD_CONFIG."},
    ),
    (
        ["--state-dir"],
        {"metavar": "DIR", "help": "What this machine remembers. Also VAULTD_STATE_DIR."},
    ),
    (
        ["--recovery-key-file"],
        {
            "metavar": "FILE",
            "help": "A recovery key: a key file, or a text with the 24 words. "
            "Also VAULTD_RECOVERY_KEY_FILE.",
        },
    ),
    (["--passphrase-file"], {"metavar": "FILE", "help": "File that holds the passphrase."}),
    (["--passphrase-command"], {"metavar": "CMD", "help": "Program that prints it; no shell."}),
    (
        ["--passphrase-fd"],
        {"metavar": "N", "type": int, "help": "Open descriptor to read it from."},
    ),
    (
        ["--fingerprint"],
        {
            "metavar": "TEXT",
            "help": "The vault's fingerprint as on the recovery sheet; asked for when this "
            "machine meets a vault for the first time.",
        },
    ),
    (["--cacert"], {"metavar": "FILE", "help": "Certificates to trust for the storage."}),
    (["--insecure-tls"], {"is_flag": True, "help": "Do not check certificates of the storage."}),
    (["--s3-endpoint"], {"metavar": "URL", "help": "Server of s3://BUCKET; AWS when not given."}),
    (["--s3-region"], {"metavar": "NAME", "help": "Region to sign requests for."}),
    (
        ["--s3-addressing"],
        {
            "type": click.Choice(["auto", "path", "virtual"]),
            "help": "How the bucket stands in addresses.",
        },
    ),
    (["--limit-upload"], {"metavar": "RATE", "help": "At most so many bytes per second: 10M."}),
    (["--limit-download"], {"metavar": "RATE", "help": "The same for reading."}),
    (["--json"], {"is_flag": True, "help": "One JSON object per line, for scripts."}),
    (["-v", "--verbose"], {"count": True, "help": "Say more; twice: tracebacks too."}),
    (["-q", "--quiet"], {"is_flag": True, "help": "Results, warnings and errors only."}),
)


def _remember(ctx: click.Context, param: click.Parameter, value: object) -> None:
    name = str(param.name)
    if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE and not ctx.resilient_parsing:
        ctx.ensure_object(Given).options[name] = value
