"""Check that everything the snapshots need is there, and whole.

vaultctl check                              every object is there and has its size
vaultctl check --read-data                  every byte is read and proven
vaultctl check --read-data --subset 5%      a sample: what was never read first, the rest by lot
vaultctl check --read-data --subset 2/7     the second of seven parts, the same every time
vaultctl check --read-data --shard 1/3      what the first of three machines has to read

With a recovery key (--recovery-key-file) trees and contents are opened too, and damage is told file
by file; without one, signatures and hashes are compared. Nothing in the vault is changed; what was
read is remembered on this machine. Damage gives exit code 20.
"""

from __future__ import annotations

import click

from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import DAMAGE, OK
from vaultctl.listing import opened_list
from vaultctl.looking import check_context, remember_reading
from vaultctl.views import check as view
from vaultd.core.errors import ConfigError
from vaultd.maintenance.check import check
from vaultd.maintenance.subsets import Sample, parse_share, parse_subset
from vaultd.wiring.system import system_random


@make_command(__doc__)
@click.option("--read-data", is_flag=True, help="Read every pack, not only look it up.")
@click.option("--subset", metavar="N/T|P%|SIZE", help="Read a part only: 2/7, 5%, or 10G.")
@click.option("--shard", metavar="K/N", help="Read the share of one of several machines.")
def command(app: App, *, read_data: bool, subset: str | None, shard: str | None) -> int:
    """Check; see the module's docstring."""
    sample = _sample(subset, shard)
    if sample is not None and not read_data:
        raise ConfigError(
            "--subset and --shard say what to read, and nothing is to be read",
            hint="Give --read-data too.",
        )
    with opened_list(app) as listed:
        report = check(check_context(app, listed), read_data=read_data, sample=sample)
        if read_data and sample is None:
            remember_reading(listed, app.clock.now_ns(), len(report.damages))
    view.show(app.output, report)
    return DAMAGE if report.damages else OK


def _sample(subset: str | None, shard: str | None) -> Sample | None:
    if subset is None and shard is None:
        return None
    return Sample(
        subset=None if subset is None else parse_subset(subset),
        shard=None if shard is None else parse_share(shard),
        random=system_random,
    )
