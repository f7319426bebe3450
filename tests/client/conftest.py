"""A client of a daemon that runs in this process, over a real Unix socket."""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runbookd.client.client import DaemonClient
from runbookd.daemon.app import build_app
from runbookd.daemon.server import bind, serve_app
from runbookd.settings import Settings, load_settings
from tests.session.conftest import board, clock, ground
from tests.session.world import PEOPLE, Board, Daemon, Ground, LogLanes, policies, running

__all__ = ["board", "clock", "ground"]


@pytest.fixture
def rules() -> object:
    return policies()


@pytest.fixture
async def daemon(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    clock: object,
    ground: Ground,
    board: Board,
    rules: object,
) -> AsyncIterator[Daemon]:
    """Whoever runs the tests is alice here."""
    names = {os.getuid(): "alice", **{uid: name for name, uid, _ in PEOPLE.values()}}
    monkeypatch.setattr("runbookd.daemon.sessions.Lanes", LogLanes)
    monkeypatch.setattr("runbookd.daemon.service.os_user", names.__getitem__)
    made = Daemon(tmp_path / "home", clock=clock, ground=ground, rules=rules, boards=(board,))  # type: ignore[arg-type]
    async with running(made):
        yield made


@pytest.fixture
async def settings(daemon: Daemon) -> AsyncIterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="runbookd-test-") as folder:
        path = Path(folder) / "d.sock"
        listener = bind(path)
        listener.listen()
        stop = asyncio.Event()
        serving = asyncio.create_task(serve_app(build_app(daemon.service), listener, stop))
        yield load_settings(daemon.home, socket=path)
        stop.set()
        await serving


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[DaemonClient]:
    async with DaemonClient(settings, start=False) as made:
        yield made
