"""``runbookd version``."""

import click

from runbookd import __version__
from runbookd.cli.common import json_option, print_json


@click.command("version", epilog="Example: runbookd version --json")
@json_option
def version_command(as_json: bool) -> None:
    """Print the program's version."""
    if as_json:
        print_json({"version": __version__})
    else:
        click.echo(f"runbookd {__version__}")
