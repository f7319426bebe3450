"""The whole drill by keys in a real terminal, closed in the middle and attached to again."""

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runbookd.drill.run import DECIDER
from runbookd.drill.slack.remote import SlackControl
from runbookd.record.verify import verify

from .terminal import Terminal

RUNBOOKD = [sys.executable, "-m", "runbookd"]


def lines_of(home: Path) -> list[dict[str, Any]]:
    [session] = (home / "drill" / "sessions").iterdir()
    return [json.loads(line) for line in (session / "record.jsonl").read_text().splitlines()]


def recorded(home: Path, kind: str) -> dict[str, Any] | None:
    """The last line of this kind in the record."""
    with contextlib.suppress(ValueError):
        for line in reversed(lines_of(home)):
            if line["type"] == kind:
                return line
    return None


def press_until(terminal: Terminal, key: str, home: Path, kind: str) -> dict[str, Any]:
    """Press ``key`` until the record has a line of this kind.

    More than once, since what decides something takes fresh input only, after a grace period.
    """
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        terminal.press(key)
        with contextlib.suppress(AssertionError):
            terminal.until(lambda _: recorded(home, kind) is not None, 1)
        found = recorded(home, kind)
        if found is not None:
            return found
    raise AssertionError(f"no {kind} in the record; the screen shows:\n{terminal.text}")


@pytest.fixture
def env(home: Path) -> Iterator[dict[str, str]]:
    """An environment with an empty HOME; what the drill started is ended afterwards."""
    home.mkdir()
    yield {"PATH": os.environ["PATH"], "HOME": str(home), "RUNBOOKD_HOME": str(home)}
    for file, read in (
        ("daemon.lock", int),
        ("drill/daemon.lock", int),
        ("drill/world/world.json", lambda text: json.loads(text)["pid"]),
    ):
        with contextlib.suppress(OSError, ValueError):
            os.kill(read((home / file).read_text()), signal.SIGTERM)


def walk_to_the_gate(terminal: Terminal) -> None:
    """Enter does the natural next thing, until it asks for approval."""
    terminal.until("Steps")
    deadline = time.monotonic() + 60
    while "Ask for approval" not in terminal.text:
        assert time.monotonic() < deadline, terminal.text
        before = terminal.text
        terminal.press("\r")
        with contextlib.suppress(AssertionError):
            terminal.until(lambda text, before=before: text != before, 3)
        with contextlib.suppress(AssertionError):
            terminal.until(lambda text: "running" not in text, 10)


async def test_the_drill_by_keys_with_the_terminal_killed_while_it_waits(
    home: Path, env: dict[str, str]
) -> None:
    with Terminal([*RUNBOOKD, "drill"], env) as terminal:
        walk_to_the_gate(terminal)
        requested = press_until(terminal, "a", home, "approval.requested")
        terminal.until("waiting")
        terminal.until(lambda _: recorded(home, "approval.posted") is not None)
        posted = recorded(home, "approval.posted")
        assert posted is not None
        terminal.until(requested["data"]["digest"][:8])
        terminal.kill()

    world = json.loads((home / "drill" / "world" / "world.json").read_text())
    async with SlackControl(world["slack"]["url"]) as slack:
        assert (await slack.press(DECIDER, posted["data"]["ref"]["ts"], "Approve"))["ok"]

    with Terminal([*RUNBOOKD, "attach"], env, columns=200, lines=50) as terminal:
        screen = terminal.until("approved")
        assert screen.count("done") >= 5, screen
        shown = requested["data"]["digest"][:8]
        terminal.until(lambda text: "dana" in text and shown in text)
        press_until(terminal, "x", home, "approval.claimed")
        terminal.until(lambda _: recorded(home, "approval.finished") is not None)
        terminal.until("reaped")
    kinds = [line["type"] for line in lines_of(home)]
    assert kinds.count("approval.claimed") == 1
    [session] = (home / "drill" / "sessions").iterdir()
    report = verify(session)
    assert report.ok, report.lines()


def test_without_a_terminal_the_screens_are_refused_in_one_line(
    home: Path, env: dict[str, str]
) -> None:
    import subprocess

    done = subprocess.run(
        [*RUNBOOKD], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith("runbookd: the screens need a terminal")
