"""``runbookd sessions``, ``show`` and ``close``."""

import click

from runbookd.api import CloseSession, SessionInfo
from runbookd.cli.common import (
    find_session,
    homes,
    homes_to_ask,
    json_option,
    print_json,
    print_table,
    with_client,
)
from runbookd.settings import Settings
from runbookd.visible import one_line


@click.command("sessions", epilog="Example: runbookd sessions --json | jq '.[0].id'")
@json_option
def sessions_command(as_json: bool) -> None:
    """List all sessions, the newest first."""
    found = [info for home in homes() for info in _sessions(home)]
    if as_json:
        print_json([info.model_dump(mode="json") for info in found])
        return
    print_table(
        ("SESSION", "RUNBOOK", "STATE", "STEPS", "DRIVER", "WAITS FOR"),
        [
            (
                info.id,
                info.title,
                _state(info),
                f"{info.done}/{info.total}",
                info.driver or "-",
                ", ".join(info.waiting) or "-",
            )
            for info in found
        ],
        empty="no sessions yet; `runbookd open RUNBOOK` opens one, `runbookd drill` rehearses",
    )


def _sessions(home: Settings) -> tuple[SessionInfo, ...]:
    """A home's sessions; a drill that is over is read from the disk, nothing is started for it."""
    if home in homes_to_ask():
        return with_client(lambda client: client.sessions(), home)
    from runbookd.daemon.archive import Archive

    archive = Archive(home.sessions)
    return tuple(archive.info(name) for name in sorted(archive.names(), reverse=True))


@click.command("show", epilog="Example: runbookd show 20261124-0207")
@click.argument("session")
@json_option
def show_command(session: str, as_json: bool) -> None:
    """Show where SESSION stands."""
    settings, folder = find_session(session)
    info = with_client(lambda client: client.session(folder.name), settings)
    if as_json:
        print_json(info.model_dump(mode="json"))
        return
    rows = [
        ("session", info.id + (" (drill)" if info.drill else "")),
        ("runbook", info.title),
        ("incident", info.incident or "-"),
        ("opened", info.opened),
        ("state", _state(info)),
        ("steps", f"{info.done} of {info.total} done"),
        ("driver", info.driver or "-"),
        ("waits for", ", ".join(info.waiting) or "-"),
        ("record", str(folder)),
    ]
    for name, value in rows:
        click.echo(f"{name:<10} {one_line(value)}")


@click.command("close", epilog='Example: runbookd close 20261124-0207 --reason "all clear"')
@click.argument("session")
@click.option("--reason", default="", help="Goes into the record.")
def close_command(session: str, reason: str) -> None:
    """End SESSION: open requests are taken back, kernels end, the record is sealed."""
    settings, folder = find_session(session)
    with_client(lambda client: client.command(folder.name, CloseSession(reason=reason)), settings)
    click.echo(f"closed {folder.name}")


def _state(info: SessionInfo) -> str:
    if info.problem:
        return f"broken: {info.problem}"
    return f"closed {info.closed}" if info.closed else "open"
