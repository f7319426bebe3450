"""``runbookd``, ``open``, ``attach`` and ``run``: walking a runbook with and without a screen."""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runbookd.api import OpenSession
from runbookd.cli.common import find_session, homes_to_ask, interrupt_on_signals, with_client
from runbookd.errors import InputError
from runbookd.model import JsonText
from runbookd.settings import Settings, load_settings
from runbookd.visible import one_line

if TYPE_CHECKING:
    from runbookd.client.client import DaemonClient
    from runbookd.client.walk import Walked
    from runbookd.runbook.notebook import Runbook

_parameters = click.option(
    "-p", "--parameter", "assignments", multiple=True, metavar="NAME=VALUE", help="A parameter."
)
_incident = click.option("--incident", metavar="ID", help="The incident this belongs to.")
_severity = click.option("--severity", type=click.IntRange(1, 5), help="1 is the worst.")


def home_screen() -> None:
    """The screen with all runbooks, open sessions and approvals."""
    run_screen(load_settings())


@click.command(
    "open", epilog="Example: runbookd open checkout-latency -p leak_timeout=5 --incident INC-42"
)
@click.argument("runbook")
@_parameters
@_incident
@_severity
def open_command(
    runbook: str, assignments: tuple[str, ...], incident: str | None, severity: int | None
) -> None:
    """Open RUNBOOK (a path, or a name in the runbooks folder) and walk it on the screen."""
    settings = load_settings()
    run_screen(settings, wanted=_wanted(settings, runbook, assignments, incident, severity))


@click.command("attach", epilog="Example: runbookd attach 20261124-0207")
@click.argument("session", required=False)
@click.option("--observe", is_flag=True, help="Watch only.")
def attach_command(session: str | None, observe: bool) -> None:
    """Go on with SESSION where it is; without SESSION, with the one that is open."""
    if session is None:
        settings, session = _only_open_session()
    else:
        settings, folder = find_session(session)
        session = folder.name
    page = None
    if settings.isolated:
        from runbookd.drill.home import page_of

        page = page_of(settings)
    run_screen(settings, session=session, observe=observe, drill_page=page)


@click.command(
    "run",
    epilog="Example: runbookd run checkout-latency --json --approval-timeout 600 > events.jsonl",
)
@click.argument("runbook")
@_parameters
@_incident
@_severity
@click.option("--json", "as_json", is_flag=True, help="Print each recorded event, one a line.")
@click.option("--keep-going", is_flag=True, help="Go on after a failed read-only cell.")
@click.option("--approval-timeout", type=click.FloatRange(min=0), metavar="SECONDS")
@click.option("--plan", is_flag=True, help="Only print what would happen, cell by cell.")
def run_command(
    runbook: str,
    assignments: tuple[str, ...],
    incident: str | None,
    severity: int | None,
    as_json: bool,
    keep_going: bool,
    approval_timeout: float | None,
    plan: bool,
) -> int:
    """Walk RUNBOOK without a screen. Gates stay gates: it waits for each approval."""
    settings = load_settings()
    if plan:
        _print_plan(settings, runbook)
        return 0
    wanted = _wanted(settings, runbook, assignments, incident, severity)
    return run_headless(
        settings,
        wanted,
        as_json=as_json,
        keep_going=keep_going,
        approval_timeout_s=approval_timeout,
    )


def run_headless(
    settings: Settings,
    wanted: OpenSession,
    *,
    as_json: bool,
    keep_going: bool = False,
    approval_timeout_s: float | None = None,
) -> int:
    """Open and walk a session, printing it; the exit code."""
    from runbookd.cli.progress import Progress
    from runbookd.client.walk import walk

    interrupt_on_signals()
    progress = Progress(as_json=as_json)

    async def work(client: "DaemonClient") -> "Walked":
        info = await client.open(wanted)
        return await walk(
            client,
            info.id,
            keep_going=keep_going,
            approval_timeout_s=approval_timeout_s,
            on_line=progress.show,
        )

    walked = with_client(work, settings)
    progress.conclude(walked.session, walked.exit_code, walked.said)
    return walked.exit_code


def find_runbook(settings: Settings, name: str) -> Path:
    """The notebook that ``name`` means: a path, or a name in the runbooks folder.

    Raises:
        InputError: there is none.
    """
    for path in (Path(name), settings.runbooks / name, settings.runbooks / f"{name}.ipynb"):
        try:
            if path.is_file():
                return path.resolve()
        except (OSError, ValueError):
            continue
    raise InputError(
        f"there is no runbook {name!r}",
        f"give a path, or the name of a notebook in {settings.runbooks}",
    )


def _wanted(
    settings: Settings,
    name: str,
    assignments: tuple[str, ...],
    incident: str | None,
    severity: int | None,
) -> OpenSession:
    from runbookd.runbook.notebook import read_runbook

    path = find_runbook(settings, name)
    return OpenSession(
        runbook=str(path),
        parameters=_assigned(read_runbook(path), assignments),
        incident=incident,
        severity=severity,
    )


def _assigned(runbook: "Runbook", assignments: tuple[str, ...]) -> dict[str, JsonText]:
    from runbookd.runbook.parameters import parse_assignment

    return dict(parse_assignment(assignment, runbook) for assignment in assignments)


def _only_open_session() -> tuple[Settings, str]:
    found = [
        (home, info)
        for home in homes_to_ask()
        for info in with_client(lambda client: client.sessions(), home)
        if info.closed is None and not info.problem
    ]
    if not found:
        raise InputError("no session is open", "open one with `runbookd open RUNBOOK`")
    if len(found) > 1:
        names = ", ".join(info.id for _, info in found)
        raise InputError(f"{len(found)} sessions are open: {names}", "name the one you mean")
    return found[0][0], found[0][1].id


def _print_plan(settings: Settings, name: str) -> None:
    from runbookd.runbook.notebook import plan, read_runbook

    for cell in plan(read_runbook(find_runbook(settings, name))):
        risk = f", risk {cell.risk}" if cell.risk else ""
        click.echo(f"{cell.mode:<10} {one_line(cell.title)}{risk}")


def run_screen(
    settings: Settings,
    *,
    session: str | None = None,
    wanted: OpenSession | None = None,
    observe: bool = False,
    drill_page: str | None = None,
) -> None:
    """Show the terminal screens until the user leaves them.

    Raises:
        InputError: standard input or output is not a terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("the screens need a terminal", "use `runbookd run` without one")
    if "SSH_CONNECTION" in os.environ:
        # A third of the bytes, and still smooth; Textual looks at it when it is imported.
        os.environ.setdefault("TEXTUAL_FPS", "15")
    from runbookd.client.client import DaemonClient
    from runbookd.tui.app import RunbookdApp

    async def show() -> None:
        async with DaemonClient(settings) as client:
            app = RunbookdApp(
                client, start=session, runbook=wanted, observe=observe, drill_page=drill_page
            )
            await app.run_async()

    asyncio.run(show())
