"""``runbookd drill``: a rehearsal against a broken service and a stand-in Slack, both local."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from runbookd.cli.common import interrupt_on_signals
from runbookd.cli.progress import Progress
from runbookd.errors import InputError
from runbookd.settings import Settings, load_settings

if TYPE_CHECKING:
    from runbookd.drill.run import Drill


@click.command(
    "drill",
    epilog="Examples: runbookd drill | runbookd drill --headless --json | "
    "runbookd drill --headless --decide deny",
)
@click.argument("runbook", required=False)
@click.option("--headless", "without_screen", is_flag=True, help="Walk it without a terminal.")
@click.option(
    "--decide",
    type=click.Choice(["approve", "deny", "self"]),
    default="approve",
    show_default=True,
    help="Headless: what the commander presses; self: the requester presses Approve.",
)
@click.option("--approval-timeout", type=click.FloatRange(min=0), metavar="SECONDS")
@click.option("--json", "as_json", is_flag=True, help="Headless: print each event, one a line.")
def drill_command(
    runbook: str | None,
    without_screen: bool,
    decide: Literal["approve", "deny", "self"],
    approval_timeout: float | None,
    as_json: bool,
) -> int:
    """Rehearse: a service that is really broken, a runbook that heals it, an approval on the way.

    Everything is local and ends with the drill: the service, the Slack stand-in with a page of
    its own, and a daemon with its own home inside yours. Nothing reaches your real Slack.
    """
    from runbookd.drill import run
    from runbookd.drill.home import existing_runbook

    settings = load_settings()
    chosen = existing_runbook(runbook) if runbook else None
    if without_screen:
        interrupt_on_signals()
        return asyncio.run(_headless(settings, chosen, decide, approval_timeout, as_json))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("the screens need a terminal", "use `runbookd drill --headless`")
    from runbookd.cli.walk import run_screen

    drill = asyncio.run(run.prepare(settings, chosen))
    click.echo(f"The stand-in's Slack channel: {drill.page}", err=True)
    over = False
    try:
        run_screen(drill.settings, wanted=drill.wanted(), drill_page=drill.page)
        over = not asyncio.run(_goes_on(drill))
    except BaseException:
        over = True
        raise
    finally:
        if over:
            asyncio.run(run.end(drill))
    sessions = drill.settings.sessions
    newest = max(entry.name for entry in sessions.iterdir())
    if over:
        click.echo(f"The drill is over. Its record: {sessions / newest}", err=True)
        click.echo(f"  runbookd verify {newest}", err=True)
        click.echo(f"  runbookd export {newest}", err=True)
    else:
        click.echo("The drill goes on without you; `runbookd attach` brings you back.", err=True)
    return 0


async def _goes_on(drill: "Drill") -> bool:
    """Whether a session of the drill is still open."""
    from runbookd.client.client import DaemonClient

    async with DaemonClient(drill.settings, start=False) as client:
        return any(info.closed is None for info in await client.sessions())


async def _headless(
    settings: Settings,
    chosen: Path | None,
    decide: Literal["approve", "deny", "self"],
    approval_timeout: float | None,
    as_json: bool,
) -> int:
    from runbookd.drill import run

    progress = Progress(as_json=as_json)
    drill = await run.prepare(settings, chosen)
    try:
        walked, well = await run.headless(
            drill, decide, approval_timeout_s=approval_timeout, on_line=progress.show
        )
    finally:
        await run.end(drill)
    progress.conclude(walked.session, walked.exit_code, walked.said)
    click.echo(f"the service is {'healthy' if well else 'not healthy'}", err=True)
    click.echo(f"its record: {drill.settings.sessions / walked.session}", err=True)
    if walked.exit_code == 0 and not well:
        return 1
    return walked.exit_code
