"""Runs the checkout service on a loopback port, for as long as it is needed."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import uvicorn

from runbookd.drill.checkout.logs import JsonLog
from runbookd.drill.checkout.routes import application
from runbookd.drill.checkout.service import Checkout
from runbookd.drill.checkout.tuning import Tuning


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: whoever runs the event loop decides its end."""

    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def serving(
    log: Path, admin_token: str, port: int = 0, tuning: Tuning | None = None
) -> AsyncIterator[str]:
    """Run the service on 127.0.0.1 and yield its address, such as ``http://127.0.0.1:40123``.

    Args:
        log: the file that the service's JSON log goes to.
        admin_token: what ``/admin`` wants as bearer token.
        port: 0 picks a free one.
        tuning: other numbers than a drill's.

    Raises:
        OSError: the port is taken, or the log cannot be written.
    """
    journal = JsonLog(log)
    listener = socket.create_server(("127.0.0.1", port))
    service = Checkout(journal, tuning)
    server = _Server(
        uvicorn.Config(
            application(service, admin_token),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
    )
    try:
        async with asyncio.TaskGroup() as group:
            customers = group.create_task(service.run())
            http = group.create_task(server.serve(sockets=[listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            finally:
                customers.cancel()
                server.should_exit = True
                await http
    finally:
        listener.close()
        journal.close()
