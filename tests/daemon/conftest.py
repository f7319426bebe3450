"""Fixtures of the daemon's tests: real daemons, and everything but the kernels in this process."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from runbookd.daemon.app import build_app
from tests.daemon.served import Served
from tests.session.conftest import board, clock, daemon, ground, stood_in
from tests.session.world import Daemon, uid

__all__ = ["board", "clock", "daemon", "ground", "stood_in"]

Start = Callable[..., Served]


@pytest.fixture
async def http(daemon: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    """The API in this process, as alice speaks to it."""
    transport = httpx.ASGITransport(build_app(daemon.service), client=("uid", uid("alice")))
    async with httpx.AsyncClient(transport=transport, base_url="http://runbookd") as client:
        yield client


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts real daemons; they are ended with the test."""
    started: list[Served] = []

    def one(home: Path | None = None, **settings: str) -> Served:
        made = Served(home or tmp_path / "home", tmp_path, settings)
        started.append(made)
        assert made.socket.name, f"it left with {made.process.returncode}: {made.said}"
        return made

    yield one
    for made in started:
        made.end()
