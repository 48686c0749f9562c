"""Begin new keys for domains: what is backed up from now on is sealed to them.

vaultctl key rotate --admin-key-file admin.key            every domain
vaultctl key rotate --admin-key-file admin.key web1       one

Old backups stay readable with the recovery keys. This machine learns the new keys at once; other
hosts and keepers make a new request (`vaultctl host request`). Needs the admin key and a recovery
key.
"""

from __future__ import annotations

import click

from vaultctl import keys
from vaultctl.access import Place, opened_place
from vaultctl.authority import admin_of
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultd.core.errors import ConfigError
from vaultd.vault.changes import rotate_domain


@make_command(__doc__)
@click.argument("domains", nargs=-1, metavar="[DOMAIN]...")
@click.option("--admin-key-file", metavar="FILE", help="The admin key: file or words.")
def command(app: App, domains: tuple[str, ...], admin_key_file: str | None) -> None:
    """Rotate; see the module's docstring."""
    with opened_place(app) as place:
        admin = admin_of(app, place, admin_key_file)
        opened = keys.read_keys(app, place.backend, place.trust)
        known = sorted({epoch.keys.domain for epoch in opened.epochs})
        for domain in domains:
            if domain not in known:
                raise ConfigError(f"no domain {domain!r}; there are {', '.join(known)}")
        for domain in domains or known:
            made = rotate_domain(admin, opened.newest(domain))
            place.identity.add_keys(made)
            others = _others(place, domain)
            if app.output.json:
                fields = {"domain": domain, "epoch": made.epoch, "hosts_to_renew": others}
                app.output.record("rotated", fields)
                continue
            renew = f"; to be renewed: {', '.join(others)}" if others else ""
            app.output.line(f"domain {domain}: epoch {made.epoch}{renew}")


def _others(place: Place, domain: str) -> list[str]:
    """Return the other hosts of a domain, which go on with the old keys until they are renewed."""
    own = place.identity.host
    grants = place.trust.policy.hosts
    return sorted({one.host for one in grants if one.domain == domain and one.host != own})
