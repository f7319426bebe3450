"""The drill's world: the broken service and the Slack stand-in, in one process, on two ports.

``python -m runbookd.drill.world --folder F`` starts both, then writes ``F/world.json``. It ends at
SIGTERM, when the folder is gone, ten minutes after the drill's daemon has ended, or after two
hours, so that no rehearsal is left behind.
"""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from runbookd.drill.checkout.server import serving as serving_checkout
from runbookd.drill.process import stopped_by_signal, write_atomically
from runbookd.drill.slack.people import CHANNEL, COMMANDERS, RESPONDER
from runbookd.drill.slack.server import serving as serving_slack

_LIFETIME_S = 2 * 60 * 60
_LOOK_EVERY_S = 1.0
_ALONE_S = 10 * 60.0
"""How long the world waits for a daemon that is gone: it may be started again by an attach."""


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[dict[str, Any]]:
    """Run both servers and yield what ``world.json`` says.

    ::

        pid       of this process
        checkout  url, admin_token, log
        slack     url (the page), api_url, bot_token, app_token, channel, responder, commanders

    Raises:
        OSError: no port, or the folder cannot be written.
    """
    admin_token = secrets.token_urlsafe(24)
    log = folder / "checkout.log"
    async with serving_checkout(log, admin_token) as checkout_url, serving_slack() as slack:
        yield {
            "pid": os.getpid(),
            "checkout": {"url": checkout_url, "admin_token": admin_token, "log": str(log)},
            "slack": {
                "url": slack.base,
                "api_url": slack.api_url,
                "bot_token": slack.tokens.bot,
                "app_token": slack.tokens.app,
                "channel": CHANNEL,
                "responder": RESPONDER,
                "commanders": COMMANDERS,
            },
        }


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False, exists=True, writable=True),
    required=True,
    help="Where world.json and the service's log go.",
)
def main(folder: Path) -> None:
    """Run the drill's world on loopback until SIGTERM."""
    folder = folder.absolute()

    async def run() -> None:
        async with stopped_by_signal() as stop, world(folder) as description:
            write_atomically(folder / "world.json", json.dumps(description, indent=1))
            async with asyncio.timeout(_LIFETIME_S):
                await _until_stopped(stop, folder)

    try:
        asyncio.run(run())
    except TimeoutError:
        sys.exit("the drill's world ends: two hours are over")
    except OSError as error:
        sys.exit(f"the drill's world cannot start: {error}")


async def _until_stopped(stop: asyncio.Event, folder: Path) -> None:
    lonely = 0.0
    while os.path.isdir(folder) and not stop.is_set():  # noqa: ASYNC240, PTH112 - a moment's work
        lonely = 0.0 if _daemon_lives(folder.parent) else lonely + _LOOK_EVERY_S
        if lonely >= _ALONE_S:
            return
        try:
            async with asyncio.timeout(_LOOK_EVERY_S):
                await stop.wait()
        except TimeoutError:
            continue


def _daemon_lives(home: Path) -> bool:
    """Whether the drill's daemon, which keeps its process id in the home, is there."""
    try:
        os.kill(int((home / "daemon.lock").read_text("ascii")), 0)
    except (OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    main()
