"""``python -m runbookd.drill.checkout``: the broken service as a process of its own."""

import asyncio
import os
import sys
from pathlib import Path

import click

from runbookd.drill.checkout.server import serving
from runbookd.drill.process import stopped_by_signal, write_atomically


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 picks a free port.")
@click.option("--log", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--port-file", type=click.Path(path_type=Path, dir_okay=False), required=True)
@click.option("--admin-token-env", default="CHECKOUT_ADMIN_TOKEN", show_default=True)
def main(port: int, log: Path, port_file: Path, admin_token_env: str) -> None:
    """Run the broken checkout service on loopback until SIGTERM."""
    token = os.environ.get(admin_token_env, "")
    if not token:
        raise click.UsageError(f"the variable {admin_token_env} holds no admin token")

    async def run() -> None:
        async with stopped_by_signal() as stop, serving(log, token, port) as url:
            write_atomically(port_file, url.rpartition(":")[2])
            await stop.wait()

    try:
        asyncio.run(run())
    except OSError as error:
        sys.exit(f"checkout: {error}")


if __name__ == "__main__":
    main()
