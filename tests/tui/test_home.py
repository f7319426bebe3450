"""The first screen leads to every runbook, session and approval, and the form asks for the rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from runbookd.api import OpenSession, ParameterInfo
from runbookd.errors import InputError
from runbookd.tui.app import RunbookdApp
from runbookd.tui.home import HomeScreen
from runbookd.tui.parameter_values import parameter_value, shown
from runbookd.tui.parameters import ParametersScreen
from runbookd.tui.walk import WalkScreen
from tests.tui.conftest import rows
from tests.tui.fake import FakeDaemon, StillClock, approval
from tests.tui.pictures import INFOS, beginning, waiting
from tests.tui.script import RUNBOOK


@asynccontextmanager
async def home(
    daemon: FakeDaemon, **options: Any
) -> AsyncIterator[tuple[RunbookdApp, Pilot[None]]]:
    daemon.infos = INFOS
    clock = StillClock(daemon.script.now)
    app = RunbookdApp(daemon, clock=clock, now=clock.seconds, **options)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        yield app, pilot


async def until(pilot: Pilot[None], app: RunbookdApp, text: str) -> None:
    async with asyncio.timeout(5):
        while text not in "\n".join(rows(app)):
            await pilot.pause(0.01)


async def test_home_lists_what_there_is() -> None:
    daemon = FakeDaemon(waiting())
    daemon.waiting = (approval(daemon.script, "r5"),)
    async with home(daemon) as (app, pilot):
        await until(pilot, app, "Runbooks")
        said = "\n".join(rows(app))
        assert "3fa9c2d1 Reap leaked" in said
        assert "alice asks commanders" in said
        assert "DRILL INC-42 Checkout latency" in said
        assert "1 waiting · alice drives" in said
        assert "checkout · production · 9 steps, 2 gated" in said
        assert "cannot be opened" in said
        assert "lane full · Slack ok" in said


async def test_enter_on_a_session_shows_it() -> None:
    async with home(FakeDaemon(beginning())) as (app, pilot):
        await until(pilot, app, "go to session 20261124-0207")
        await pilot.press("enter")
        await until(pilot, app, "Steps")
        assert isinstance(app.screen, WalkScreen)


async def test_enter_on_an_approval_shows_its_session() -> None:
    daemon = FakeDaemon(waiting())
    daemon.waiting = (approval(daemon.script, "r5"),)
    async with home(daemon) as (app, pilot):
        await until(pilot, app, "`runbookd approve` decides")
        await pilot.press("enter")
        await until(pilot, app, "Steps")


async def test_a_runbook_is_opened_through_the_form() -> None:
    daemon = FakeDaemon(beginning())
    async with home(daemon) as (app, pilot):
        await until(pilot, app, "Runbooks")
        await pilot.press("down")
        await until(pilot, app, "open 'Checkout latency'")
        await pilot.press("enter")
        await until(pilot, app, "leak_timeout")
        await pilot.press("ctrl+r")
        await until(pilot, app, "region is required")
        assert daemon.opened == []
        await pilot.press("enter", "down", "enter")
        await pilot.press("ctrl+r")
        await until(pilot, app, "Steps")
        assert daemon.opened == [
            OpenSession(
                runbook=str(RUNBOOK),
                parameters={"leak_timeout": "5", "region": '"eu"', "dry_run": "true"},
                severity=2,
            )
        ]


async def test_a_wrong_value_is_refused_by_the_form() -> None:
    daemon = FakeDaemon(beginning())
    async with home(daemon) as (app, pilot):
        await until(pilot, app, "Runbooks")
        app.screen.post_message(HomeScreen.RunbookPicked(INFOS[0]))
        await until(pilot, app, "leak_timeout")
        app.screen.query_one("#p0").focus()
        await pilot.press("end", "x", "ctrl+r")
        await until(pilot, app, "leak_timeout is a whole number")
        assert daemon.opened == []
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen)


async def test_a_broken_runbook_says_why_and_does_not_open() -> None:
    daemon = FakeDaemon(beginning())
    async with home(daemon) as (app, pilot):
        await until(pilot, app, "Runbooks")
        await pilot.press("end")
        # The last entry is the runbook that is no JSON: nothing but open sessions is below it.
        await until(pilot, app, "cannot be opened: it is not JSON")
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen)


async def test_the_command_lines_runbook_is_opened_when_nothing_is_missing() -> None:
    daemon = FakeDaemon(beginning())
    wanted = OpenSession(runbook=str(RUNBOOK), parameters={"region": '"eu"'}, incident="INC-7")
    async with home(daemon, runbook=wanted) as (app, pilot):
        await until(pilot, app, "Steps")
        assert daemon.opened == [wanted]


async def test_the_command_lines_runbook_asks_for_what_is_missing() -> None:
    daemon = FakeDaemon(beginning())
    wanted = OpenSession(runbook=str(RUNBOOK), incident="INC-7", parameters={"leak_timeout": "6"})
    async with home(daemon, runbook=wanted) as (app, pilot):
        await until(pilot, app, "region *")
        assert isinstance(app.screen, ParametersScreen)
        assert app.focused is app.screen.query_one("#p1")
        said = "\n".join(rows(app))
        assert "INC-7" in said
        await pilot.press("enter", "down", "down", "enter", "f5")
        await until(pilot, app, "Steps")
        assert daemon.opened[0].parameters["region"] == '"us"'
        assert daemon.opened[0].parameters["leak_timeout"] == "6"
        assert daemon.opened[0].incident == "INC-7"


async def test_a_session_that_cannot_be_opened_is_one_line() -> None:
    daemon = FakeDaemon(beginning())
    daemon.refuse = InputError("policies/x.yaml line 3: unknown key", "correct it")
    wanted = OpenSession(runbook="/elsewhere.ipynb")
    async with home(daemon, runbook=wanted) as (app, pilot):
        async with asyncio.timeout(5):
            while not app._notifications:
                await pilot.pause(0.01)
        said = [notice.message for notice in app._notifications]
        assert said == ["policies/x.yaml line 3: unknown key; correct it"]
        assert isinstance(app.screen, HomeScreen)


async def test_a_daemon_that_is_away_is_said_on_the_home_screen() -> None:
    daemon = FakeDaemon(beginning())
    daemon.gone = True
    async with home(daemon) as (app, pilot):
        await until(pilot, app, "the daemon does not answer; see its log")


def info(kind: str, **more: Any) -> ParameterInfo:
    return ParameterInfo(name="p", type=kind, **more)


@pytest.mark.parametrize(
    ("parameter", "typed", "value"),
    [
        (info("string"), "a b", '"a b"'),
        (info("string"), "é", '"é"'),
        (info("string", pattern="a+"), "aaa", '"aaa"'),
        (info("integer"), " 42 ", "42"),
        (info("integer"), "-7", "-7"),
        (info("number"), "1.5", "1.5"),
        (info("number"), "3", "3"),
        (info("number"), "1e3", "1000.0"),
        (info("boolean"), "True", "true"),
        (info("string", choices=('"\\u00e9"',)), "é", '"\\u00e9"'),
        (info("integer", choices=("1", "2")), "2", "2"),
        (info("string"), "", None),
        (info("string", required=True, default='"x"'), "", None),
    ],
)
def test_what_is_typed_becomes_json(
    parameter: ParameterInfo, typed: str, value: str | None
) -> None:
    assert parameter_value(parameter, typed) == value


@pytest.mark.parametrize(
    ("parameter", "typed", "why"),
    [
        (info("string", required=True), "", "is required"),
        (info("integer"), "1.5", "whole number"),
        (info("integer"), "1_000", "whole number"),
        (info("integer"), "٣x", "whole number"),
        (info("number"), "nan", "is a number"),
        (info("number"), "inf", "is a number"),
        (info("boolean"), "1", "true or false"),
        (info("string", pattern="a+"), "aaab", "has to match"),
        (info("integer", choices=("1", "2")), "3", "one of: 1, 2"),
    ],
)
def test_what_is_no_value_is_refused_in_a_sentence(
    parameter: ParameterInfo, typed: str, why: str
) -> None:
    with pytest.raises(InputError, match=why):
        parameter_value(parameter, typed)


def test_a_value_is_shown_as_people_type_it() -> None:
    assert shown('"a"') == "a"
    assert shown("[1, 2]") == "[1, 2]"
    assert shown("no json") == "no json"
