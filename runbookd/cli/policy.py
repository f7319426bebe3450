"""``runbookd policy``: what the policies say, before anybody is woken up by them."""

from pathlib import Path

import click

from runbookd.cli.common import json_option, print_json
from runbookd.settings import load_settings


@click.group("policy", no_args_is_help=False, epilog="Example: runbookd policy check")
def policy_group() -> None:
    """Check the policies, and explain what they ask for."""


@policy_group.command("check", epilog="Example: runbookd policy check policies/")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@json_option
def check_command(folder: Path | None, as_json: bool) -> None:
    """Read every policy in FOLDER (default: the policies folder) and name what is wrong."""
    from runbookd.policy.check import warnings
    from runbookd.policy.load import load_policies
    from runbookd.record.patterns import compile_pattern

    policies = load_policies(folder or load_settings().policies)
    for pattern in policies.redaction.patterns:
        compile_pattern("policy", pattern)
    found = warnings(policies)
    if as_json:
        print_json({"digest": policies.digest, "files": policies.files, "warnings": list(found)})
        return
    for warning in found:
        click.echo(f"warning: {warning}")
    click.echo(f"{len(policies.files)} files, {len(policies.rules)} rules: {policies.digest[:8]}")
