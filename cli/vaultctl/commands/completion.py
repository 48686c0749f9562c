"""Print what makes a shell complete commands and options.

bash:  vaultctl completion bash > /etc/bash_completion.d/vaultctl
zsh:   vaultctl completion zsh > /usr/local/share/zsh/site-functions/_vaultctl
fish:  vaultctl completion fish > ~/.config/fish/completions/vaultctl.fish
"""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from vaultctl.command import command as make_command
from vaultctl.context import App

_SHELLS = ("bash", "zsh", "fish")


@make_command(__doc__)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(ctx: click.Context, app: App, shell: str) -> None:
    """Print the script; see the module's docstring."""
    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"no completion for {shell}")
    script = kind(ctx.find_root().command, {}, "vaultctl", "_VAULTCTL_COMPLETE").source()
    app.tell("completion", lambda: {"shell": shell, "script": script}, lambda: script.rstrip("\n"))
