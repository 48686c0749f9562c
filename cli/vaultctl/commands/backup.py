"""Back up files and directories into a new snapshot.

vaultctl backup /srv/crm
vaultctl backup --name etc -e '*.swp' /etc /usr/local/etc
vaultctl backup --kind full /srv/crm

The kind is chosen: a full snapshot first and when the chain has become long, else an incremental
one, which reads what has changed since the last. Paths may come from lists. What was not read
(--exclude, or no permission) is not in the snapshot; the second gives exit code 3.
"""

from __future__ import annotations

import os
import pwd
from typing import Any

import click

from vaultctl.access import opened_host
from vaultctl.command import command as make_command
from vaultctl.context import App
from vaultctl.exit_codes import INCOMPLETE, OK
from vaultctl.filters import split_tags
from vaultctl.sources import capture_options, check_name, roots_of, source_options, store_name
from vaultctl.views import backup as view
from vaultd.core.snapshot import Kind
from vaultd.pipeline.backup import BackupRequest, back_up
from vaultd.pipeline.preview import last_counts, preview
from vaultd.vault.store_id import store_id
from vaultd.wiring.sources import files_capture


@make_command(__doc__)
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("--name", metavar="STORE", help="Name of the store; the paths when not given.")
@click.option(
    "--kind",
    type=click.Choice(["auto", *(str(kind) for kind in Kind)]),
    default="auto",
    help="What to make; auto chooses.",
)
@click.option(
    "--verified", is_flag=True, help="Let a full snapshot share packs that are known to be good."
)
@click.option("--tag", "tags", multiple=True, metavar="A,B", help="Tags; repeatable.")
@click.option("-n", "--dry-run", is_flag=True, help="Say what would be read; store nothing.")
@click.option("--skip-if-unchanged", is_flag=True, help="Make no snapshot when nothing changed.")
@click.option(
    "--compression",
    type=click.Choice(["fast", "better"]),
    default="fast",
    help="Better takes more time and less room.",
)
@source_options
def command(app: App, paths: tuple[str, ...], **chosen: Any) -> int:
    """Back up; see the module's docstring."""
    roots = roots_of(paths, chosen)
    options = capture_options(chosen)
    name = store_name(roots) if chosen["name"] is None else check_name(chosen["name"])
    with opened_host(app) as host:
        request = BackupRequest(
            store=name,
            store_id=store_id(host.keys, name),
            kind=None if chosen["kind"] == "auto" else Kind(chosen["kind"]),
            verified=chosen["verified"],
            options=options.fingerprint(),
            tags=split_tags(chosen["tags"]),
            username=_user(),
            level=chosen["compression"],
        )
        capture = files_capture(roots, options)
        last = last_counts(host, request.store_id)
        if last is not None:
            app.progress.expect(last.files, last.data)
        if chosen["dry_run"] or chosen["skip_if_unchanged"]:
            seen = preview(host, request, capture)
            if chosen["dry_run"] or seen.is_unchanged:
                view.show_preview(app.output, name, seen)
                return INCOMPLETE if seen.problems else OK
        report = back_up(host, request, capture)
    view.show(app.output, report)
    return INCOMPLETE if report.problems else OK


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
