"""``runbookd serve``."""

import asyncio
import sys

import click

from runbookd.errors import DaemonUnavailable
from runbookd.settings import load_settings


@click.command("serve", epilog="Example: runbookd serve   (from systemd, or in a terminal)")
@click.option("--on-demand", is_flag=True, help="Leave when idle, as clients start it.")
def serve_command(on_demand: bool) -> None:
    """Serve this home until Ctrl-C: sessions, kernels, approvals, the record."""
    from runbookd.daemon.logs import log_to
    from runbookd.daemon.main import run_daemon

    settings = load_settings()
    terminal = not on_demand and sys.stderr.isatty()

    def ready() -> None:
        if not on_demand:
            click.echo(f"runbookd serves {settings.home} on {settings.socket}", err=True)

    async def run() -> None:
        await run_daemon(settings, on_demand=on_demand, on_ready=ready)

    try:
        stream = log_to(settings.home, terminal=terminal)
    except OSError as error:
        raise DaemonUnavailable(
            f"the home {settings.home} cannot be written: {error.strerror}",
            "set RUNBOOKD_HOME to a folder that can",
        ) from None
    try:
        asyncio.run(run())
    finally:
        if not terminal:
            stream.close()
