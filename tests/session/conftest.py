"""Fixtures of the session's tests: a daemon whose kernels only log."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.record.world import ManualClock
from tests.session.world import UIDS, Board, Daemon, Ground, LogLanes, policies, running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def ground(clock: ManualClock) -> Ground:
    return Ground(clock)


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def stood_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that log, and a user database that knows our people."""
    monkeypatch.setattr("runbookd.daemon.sessions.Lanes", LogLanes)
    monkeypatch.setattr("runbookd.daemon.service.os_user", lambda uid: UIDS[uid])


@pytest.fixture
async def daemon(
    stood_in: None, tmp_path: Path, clock: ManualClock, ground: Ground, board: Board
) -> AsyncIterator[Daemon]:
    made = Daemon(tmp_path / "home", clock=clock, ground=ground, rules=policies(), boards=(board,))
    async with running(made):
        yield made
