"""``python -m runbookd.drill.slack``: the stand-in as a process of its own."""

import asyncio
import json
import os
import sys
from pathlib import Path

import click

from runbookd.drill.process import stopped_by_signal, write_atomically
from runbookd.drill.slack.people import CHANNEL
from runbookd.drill.slack.server import serving
from runbookd.drill.slack.workspace import Tokens


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free port.")
@click.option(
    "--ready-file",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Written when the stand-in answers: its addresses and tokens as JSON.",
)
@click.option("--no-rate-limits", is_flag=True, help="Never answer 429.")
def main(port: int, ready_file: Path, no_rate_limits: bool) -> None:
    """Run a stand-in for Slack on loopback until SIGTERM.

    Tokens are random, unless SLACK_BOT_TOKEN and SLACK_APP_TOKEN give them.
    """
    given = {
        name: os.environ[variable]
        for name, variable in (("bot", "SLACK_BOT_TOKEN"), ("app", "SLACK_APP_TOKEN"))
        if os.environ.get(variable)
    }

    async def run() -> None:
        async with stopped_by_signal() as stop, serving(Tokens(**given), port) as slack:
            slack.limiter.on = not no_rate_limits
            ready = {
                "url": slack.base,
                "api_url": slack.api_url,
                "bot_token": slack.tokens.bot,
                "app_token": slack.tokens.app,
                "channel": CHANNEL,
            }
            write_atomically(ready_file, json.dumps(ready))
            await stop.wait()

    try:
        asyncio.run(run())
    except OSError as error:
        sys.exit(f"slack stand-in: {error}")


if __name__ == "__main__":
    main()
