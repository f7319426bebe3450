"""What several commands share: settings, the daemon, and printing data."""

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from runbookd.errors import InputError
from runbookd.settings import Settings, load_settings
from runbookd.visible import one_line

if TYPE_CHECKING:
    from runbookd.client.client import DaemonClient

_T = TypeVar("_T")

json_option = click.option("--json", "as_json", is_flag=True, help="Print data as JSON.")


def with_client(
    work: "Callable[[DaemonClient], Awaitable[_T]]",
    settings: Settings | None = None,
    *,
    start: bool = True,
) -> _T:
    """Run ``work`` with a connection to the daemon."""
    from runbookd.client.client import DaemonClient

    async def connected() -> _T:
        asyncio.get_running_loop().set_exception_handler(_unheard)
        async with DaemonClient(settings or load_settings(), start=start) as client:
            return await work(client)

    return asyncio.run(connected())


def _unheard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep quiet about one thing: anyio telling a read on a Unix socket that was broken off."""
    if not isinstance(context.get("exception"), asyncio.InvalidStateError):
        loop.default_exception_handler(context)


def interrupt_on_signals() -> None:
    """Have SIGTERM and SIGHUP end a command as Ctrl-C does: with its cleaning up."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os.kill(os.getpid(), signal.SIGINT))


def homes() -> tuple[Settings, ...]:
    """The home, and the drill's inside it once there was a drill."""
    settings = load_settings()
    if (settings.drill_home / "runbookd.toml").is_file():
        return (settings, load_settings(settings.drill_home))
    return (settings,)


def homes_to_ask() -> tuple[Settings, ...]:
    """The homes whose daemon can know of sessions: looking starts no daemon without need.

    A drill's home is asked only while its daemon runs; the other also when it holds sessions.
    """
    return tuple(
        home
        for home in homes()
        if home.socket.exists() or (not home.isolated and home.sessions.is_dir())
    )


def find_session(name: str) -> tuple[Settings, Path]:
    """The folder of a session, looked for in the home and in the drill's home inside it.

    Args:
        name: a session's id, or a beginning of it that fits only one.

    Returns:
        The settings of the home that holds it, and its folder.

    Raises:
        InputError: none or several fit.
    """
    found: list[tuple[Settings, Path]] = []
    for home in homes():
        exact = home.sessions / name
        if name and exact.parent == home.sessions and exact.is_dir():
            return home, exact
        if name and home.sessions.is_dir():
            found += [
                (home, entry) for entry in home.sessions.iterdir() if entry.name.startswith(name)
            ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(f"there is no session {name!r}", "`runbookd sessions` lists them")
    raise InputError(
        f"{name!r} fits {len(found)} sessions", "give more of the id; see `runbookd sessions`"
    )


def record_folder(name: str) -> Path:
    """The folder of a record: a path to a folder with a ``record.jsonl``, or a session's id."""
    path = Path(name)
    if (path / "record.jsonl").is_file():
        return path
    if path.is_dir():
        raise InputError(f"{name} holds no record.jsonl", "give the folder of a session")
    return find_session(name)[1]


def print_json(value: Any) -> None:
    """Print ``value`` as JSON: indented for people, the same bytes for the same value."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True))


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """Print aligned columns, or the sentence ``empty`` to stderr when there is no row."""
    if not rows:
        click.echo(empty, err=True)
        return
    shown = [[one_line(cell, 60) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in shown) for column in range(len(head))]
    for row in shown:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())
