"""``runbookd completion``: what a shell needs to complete our commands."""

import click
from click.shell_completion import get_completion_class

from runbookd.errors import InputError


@click.command(
    "completion",
    epilog='Example: eval "$(runbookd completion bash)"',
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    kind = get_completion_class(shell)
    if kind is None:
        raise InputError(f"no completion for {shell}")
    root = ctx.find_root().command
    click.echo(kind(root, {}, "runbookd", "_RUNBOOKD_COMPLETE").source())
