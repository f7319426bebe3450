"""The rehearsal: starts the world, rehearses through the product's own front door, tidies up."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx

from runbookd.api import OpenSession
from runbookd.client.client import DaemonClient
from runbookd.client.follow import OnLine
from runbookd.client.walk import Walked, walk
from runbookd.drill.checkout.health import healthy
from runbookd.drill.home import prepare_home, world_folder
from runbookd.drill.slack.remote import ControlRefused, SlackControl
from runbookd.errors import CommandRefused, DaemonUnavailable
from runbookd.events import ApprovalPosted, Recorded
from runbookd.settings import Settings

Decide = Literal["approve", "deny", "self"]

DECIDER = "U0DANA"
DENIAL = "drill: not this one"
SELF_TIMEOUT_S = 10.0
"""How long a rehearsal waits for an approval that must not come."""

_WORLD_START_S = 30.0
_HEAL_S = 30.0


@dataclass(frozen=True)
class Drill:
    """A rehearsal that is prepared: the world runs, the home is written."""

    settings: Settings
    runbook: Path
    world: dict[str, Any]

    @property
    def page(self) -> str:
        """The page of the Slack stand-in, for the reader's browser."""
        return str(self.world["slack"]["url"])

    def wanted(self) -> OpenSession:
        """The session to open: marked as a drill in the record and everything made of it."""
        return OpenSession(runbook=str(self.runbook), incident="DRILL-1", drill=True)


async def prepare(settings: Settings, runbook: Path | None) -> Drill:
    """Start the world and write the drill's home.

    Raises:
        CommandRefused: another drill is running in this home.
        DaemonUnavailable: the world does not start, or the home cannot be written.
    """
    socket = settings.drill_home.joinpath("daemon.lock")
    if _owner(socket) is not None:
        raise CommandRefused(
            "a drill is running in this home already", "go on with it: `runbookd attach`"
        )
    folder = world_folder(settings)
    world = await _start_world(folder)
    try:
        home, path = prepare_home(settings, world, runbook)
    except BaseException:
        stop_process(world["pid"])
        raise
    return Drill(home, path, world)


async def end(drill: Drill) -> None:
    """End the drill's daemon, then its world."""
    owner = _owner(drill.settings.home / "daemon.lock")
    if owner is not None:
        stop_process(owner)
        deadline = time.monotonic() + 10
        while _owner(drill.settings.home / "daemon.lock") and time.monotonic() < deadline:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    stop_process(drill.world["pid"])


async def headless(
    drill: Drill, decide: Decide, *, approval_timeout_s: float | None, on_line: OnLine
) -> tuple[Walked, bool]:
    """Walk the drill without a screen, a member of the stand-in pressing the button.

    Returns:
        How the walk ended, and whether the service is healthy by its own metrics.
    """
    if approval_timeout_s is None and decide == "self":
        approval_timeout_s = SELF_TIMEOUT_S
    posted: asyncio.Queue[str] = asyncio.Queue()

    def watch(line: Recorded) -> None:
        if isinstance(line.event, ApprovalPosted) and line.event.data.channel == "slack":
            posted.put_nowait(line.event.data.ref["ts"])
        on_line(line)

    async with DaemonClient(drill.settings) as client, _pressing(drill, decide, posted):
        info = await client.open(drill.wanted())
        walked = await walk(client, info.id, approval_timeout_s=approval_timeout_s, on_line=watch)
    return walked, await is_healthy(drill, wait_s=_HEAL_S if walked.exit_code == 0 else 0)


@asynccontextmanager
async def _pressing(
    drill: Drill, decide: Decide, posted: "asyncio.Queue[str]"
) -> AsyncIterator[None]:
    async with SlackControl(drill.page) as slack, asyncio.TaskGroup() as tasks:
        pressing = tasks.create_task(_press(slack, drill, decide, posted))
        try:
            yield
        finally:
            pressing.cancel()


async def _press(
    slack: SlackControl, drill: Drill, decide: Decide, posted: "asyncio.Queue[str]"
) -> None:
    """Press the button of every request that is posted, once each."""
    who = drill.world["slack"]["responder"] if decide == "self" else DECIDER
    while True:
        ts = await posted.get()
        try:
            if decide == "deny":
                await slack.press(who, ts, "Deny…")
                view = await slack.until(lambda state: _modal_of(state, who))
                await slack.submit(who, view["id"], _filled(view, DENIAL))
            else:
                await slack.press(who, ts, "Approve")
        except ControlRefused as error:
            raise CommandRefused(f"the stand-in's button cannot be pressed: {error}") from None


def _modal_of(state: dict[str, Any], user: str) -> dict[str, Any] | None:
    for view in state["views"]:
        if view["user"] == user and view["open"]:
            found: dict[str, Any] = view["view"]
            return found
    return None


def _filled(view: dict[str, Any], text: str) -> dict[str, dict[str, Any]]:
    """``text`` in every input of a modal."""
    return {
        block["block_id"]: {block["element"]["action_id"]: text}
        for block in view["blocks"]
        if block["type"] == "input"
    }


async def is_healthy(drill: Drill, *, wait_s: float = 0) -> bool:
    """Whether the service is healthy by its own metrics, within ``wait_s`` seconds."""
    url = drill.world["checkout"]["url"] + "/metrics"
    deadline = time.monotonic() + wait_s
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            well = healthy((await http.get(url)).text)
            if well or time.monotonic() >= deadline:
                return well
            await asyncio.sleep(0.25)


async def _start_world(folder: Path) -> dict[str, Any]:
    log = folder / "world.log"
    pid = os.posix_spawn(  # noqa: ASYNC221 - returns at once
        sys.executable,
        [sys.executable, "-m", "runbookd.drill.world", "--folder", str(folder)],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    try:
        return await _world_of(pid, folder, log)
    except BaseException:
        stop_process(pid)
        raise


async def _world_of(pid: int, folder: Path, log: Path) -> dict[str, Any]:
    description = folder / "world.json"
    deadline = time.monotonic() + _WORLD_START_S
    while time.monotonic() < deadline:
        if description.exists():
            world: dict[str, Any] = json.loads(description.read_text("utf-8"))
            return world
        if os.waitpid(pid, os.WNOHANG)[0] == pid:  # noqa: ASYNC222 - does not wait
            words = log.read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]  # noqa: ASYNC240 - a moment's work
            raise DaemonUnavailable(f"the drill's world could not start: {words[-1]}", f"see {log}")
        await asyncio.sleep(0.02)
    raise DaemonUnavailable("the drill's world did not start in time", f"see {log}")


def stop_process(pid: int) -> None:
    """Ask a process to end; one that is gone already is fine."""
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return


def _owner(lock: Path) -> int | None:
    """The process that holds a daemon's lock, if one lives."""
    try:
        pid = int(lock.read_text("ascii"))
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid
