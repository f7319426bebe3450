"""A drill that a test can drive: the broken service, the Slack stand-in, and a real daemon."""

import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runbookd.client.client import DaemonClient
from runbookd.drill import run
from runbookd.drill.run import Drill
from runbookd.settings import load_settings

PrepareDrill = Callable[[dict[str, Any] | None], AbstractAsyncContextManager[Drill]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def drills(home: Path, tmp_path: Path) -> PrepareDrill:
    """Prepares a drill on the shipped runbook, or on a notebook given as JSON."""

    @asynccontextmanager
    async def prepared(notebook: dict[str, Any] | None = None) -> AsyncIterator[Drill]:
        path = None
        if notebook is not None:
            path = tmp_path / "rehearsed.ipynb"
            path.write_text(json.dumps(notebook))
        drill = await run.prepare(load_settings(home), path)
        try:
            yield drill
        finally:
            await run.end(drill)
            with contextlib.suppress(ChildProcessError):
                while True:
                    os.waitpid(-1, 0)

    return prepared


def notebook(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    """A notebook of code cells, each given as its id, source and runbookd metadata."""
    about = {
        "title": "Rehearsed",
        "environment": "production",
        "connectors": ["checkout", "checkout-admin"],
        **metadata,
    }
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "runbookd": about,
        },
        "cells": [
            {
                "cell_type": "code",
                "id": cell["id"],
                "source": cell["source"],
                "metadata": {"runbookd": cell.get("runbookd", {})},
                "outputs": [],
                "execution_count": None,
            }
            for cell in cells
        ],
    }


def kill_daemon(drill: Drill) -> None:
    """kill -9, as an unlucky night would."""
    pid = int((drill.settings.home / "daemon.lock").read_text())
    os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


async def pressed(drill: Drill, user: str, ts: str, button: str = "Approve") -> dict[str, Any]:
    """Press a button of the stand-in as a member."""
    from runbookd.drill.slack.remote import SlackControl

    async with SlackControl(drill.page) as slack:
        return await slack.press(user, ts, button)


async def connected(drill: Drill, work: Callable[[DaemonClient], Awaitable[Any]]) -> Any:
    async with DaemonClient(drill.settings) as client:
        return await work(client)
