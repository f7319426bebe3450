"""``runbookd doctor``: can this machine hold what runbookd promises?"""

import click

from runbookd.cli.common import json_option, print_json
from runbookd.errors import Unavailable
from runbookd.settings import load_settings


@click.command("doctor", epilog="Example: runbookd doctor")
@json_option
def doctor_command(as_json: bool) -> None:
    """Run the sandbox's self-test and read the configuration and policies."""
    from runbookd.kernels.sandbox import probe
    from runbookd.policy.load import load_policies

    settings = load_settings()
    policies = load_policies(settings.policies)
    _, report = probe()
    if as_json:
        print_json(
            {
                "home": str(settings.home),
                "socket": str(settings.socket),
                "policies": policies.digest,
                "sandbox": report.model_dump(mode="json"),
            }
        )
    else:
        click.echo(f"home      {settings.home}")
        click.echo(f"policies  {settings.policies} ({len(policies.rules)} rules)")
        slack = settings.slack.channel or "not configured: approvals on the console only"
        click.echo(f"slack     {slack}")
        click.echo(f"sandbox   {report.level} ({report.backend}, Linux {report.kernel})")
        for row in report.rows:
            click.echo(f"  {'denied ' if row.denied else 'ALLOWED'}  {row.attack}")
    if report.level == "none":
        raise Unavailable(
            f"no sandbox can be enforced here: {report.why}",
            "read-only cells will need an approval like gated ones",
        )
