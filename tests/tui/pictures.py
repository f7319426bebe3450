"""Draws the screens into SVG files, to be looked at: ``python -m tests.tui.pictures FOLDER``."""

import asyncio
import sys
from pathlib import Path

from runbookd.api import ParameterInfo, RunbookInfo
from runbookd.events import (
    ApprovalRefused,
    CellSkipped,
    NoteAdded,
    NoteData,
    ReasonData,
    Recovered,
    RecoveredData,
    RefusedData,
)
from runbookd.tui.app import RunbookdApp
from tests.tui.fake import FakeDaemon, StillClock, approval
from tests.tui.script import ALICE, RUNBOOK, SESSION, Script

INFOS = (
    RunbookInfo(
        path=str(RUNBOOK),
        title="Checkout latency",
        service="checkout",
        environment="production",
        severity=2,
        tags=("latency",),
        parameters=(
            ParameterInfo(
                name="leak_timeout", type="integer", default="5",
                description="Reclaim connections held for longer than this many seconds",
            ),
            ParameterInfo(name="region", type="string", required=True, choices=('"eu"', '"us"')),
            ParameterInfo(name="dry_run", type="boolean", default="true"),
        ),
        cells={"read-only": 6, "gated": 2, "manual": 1},
    ),
    RunbookInfo(
        path="/runbooks/disk-full.ipynb", title="A disk is full", service="hosts",
        environment="production", cells={"read-only": 4, "gated": 1},
    ),
    RunbookInfo(path="/runbooks/broken.ipynb", title="broken.ipynb", problem="it is not JSON"),
)  # fmt: skip


def beginning() -> Script:
    """Looked around a little."""
    script = Script()
    script.run("setup", '{"version": "1.4.2"}\n')
    script.run(
        "symptom",
        "requests    41.2 /s\np95        0.912 s    limit 0.200\n"
        "errors     12.4%    limit 1.0%\n\x1b[1;31mUNHEALTHY\x1b[0m\n",
    )
    script.run("errors-by-code", "200   36.1 /s      9321 since start\n"
               "503    5.1 /s       412 since start\n")  # fmt: skip
    pool = script.start("pool-usage")
    script.call(pool, "pool-usage", "GET", "/admin/pool")
    script.output(pool, "pool-usage", "20 of 20 connections in use, 9 requests in line\n"
                  "17 held for more than 2 s, the oldest for 41.2 s\n"
                  "  17 held by /api/recommendations\nreaper off\n")  # fmt: skip
    script.finish(pool, "pool-usage")
    script.add(
        NoteAdded(
            cell="pool-usage",
            data=NoteData(text="Same pattern as INC-31: /api/recommendations keeps connections."),
        ),
        ALICE,
    )
    return script


def waiting() -> Script:
    script = beginning()
    script.ask("reap")
    return script


def turned_away() -> Script:
    script = beginning()
    request = script.ask("reap")
    data = RefusedData(
        decision="approve", person="alice", via="slack",
        reason="whoever asked cannot approve",
    )  # fmt: skip
    script.add(ApprovalRefused(cell="reap", request=request, data=data))
    return script


def approved() -> Script:
    script = beginning()
    script.decide("reap", script.ask("reap"), reason="go, watch p95")
    return script


def denied() -> Script:
    script = beginning()
    script.decide("reap", script.ask("reap"), "deny", "not before the payment batch is through")
    return script


def done() -> Script:
    script = beginning()
    request = script.ask("reap")
    script.decide("reap", request)
    run = script.execute("reap", request, "reaper on, limit 5 s\nreaped 17 connections\n")
    script.executed("reap", request, run)
    script.adhoc("pool['max'], pool['in_use']", "(20, 3)\n")
    verify = script.start("verify")
    script.output(verify, "verify", "p95 0.412 s, errors 3.1%\np95 0.120 s, errors 0.4%\n")
    return script


def unknown() -> Script:
    script = beginning()
    request = script.ask("reap")
    script.decide("reap", request)
    run = script.execute("reap", request, "reaper on, limit 5 s\n")
    script.add(CellSkipped(cell="log", data=ReasonData(reason="the log is on fire")), ALICE)
    script.add(Recovered(data=RecoveredData(executions=(run,))))
    return script


def failed() -> Script:
    script = beginning()
    run = script.start("log")
    script.call(run, "log", "POST", "/admin/pool", 403, "the read-only lane allows only GET /*")
    script.output(
        run, "log",
        "\x1b[31m---------------------------------------------\x1b[0m\n"
        "\x1b[31mHTTPError\x1b[0m              Traceback (most recent call last)\n"
        "Cell \x1b[32mIn[3]\x1b[0m, line 4\n\x1b[31mHTTPError\x1b[0m: HTTP Error 403: Forbidden",
        "error",
    )  # fmt: skip
    script.finish(
        run, "log", "error", error="HTTPError: HTTP Error 403: Forbidden",
        lane_hint="POST /admin/pool was refused: the read-only lane lets only GET through "
        "checkout-admin. Put the change into a gated cell and ask for approval.",
    )  # fmt: skip
    return script


SCENES = {
    "home": waiting, "form": beginning, "walk": beginning, "waiting": waiting, "asking": beginning,
    "turned-away": turned_away, "approved": approved, "denied": denied, "done": done,
    "unknown": unknown, "failed": failed, "lost": waiting, "help": waiting, "adhoc": beginning,
    "skip": beginning, "observer": waiting, "palette": waiting,
}  # fmt: skip


async def draw(name: str, size: tuple[int, int], theme: str) -> str:
    """One scene as SVG."""
    script = SCENES[name]()
    daemon = FakeDaemon(script)
    daemon.infos = INFOS
    if "waiting" in SCENES[name].__name__:
        daemon.waiting = (approval(script, "r5"),)
    if name == "observer":
        daemon.person = "bob"
    clock = StillClock(script.now)
    app = RunbookdApp(
        daemon,
        start=None if name in {"home", "form"} else SESSION,
        drill_page="http://127.0.0.1:43121/",
        clock=clock,
        now=clock.seconds,
    )
    async with app.run_test(size=size) as pilot:
        app.theme = theme
        await pilot.pause(0.3)
        keys = {
            "asking": ["enter"], "help": ["question_mark"], "adhoc": ["e"], "skip": ["s"],
            "palette": ["ctrl+p"],
        }.get(name, [])  # fmt: skip
        where = {
            "walk": "pool-usage", "asking": "reap", "waiting": "reap", "turned-away": "reap",
            "approved": "reap", "denied": "reap", "done": "verify", "unknown": "reap",
            "failed": "log", "lost": "reap", "skip": "log", "adhoc": "log", "observer": "reap",
        }.get(name)  # fmt: skip
        if where:
            app.screen.select(where)  # type: ignore[attr-defined]
        if name == "lost":
            await daemon.die()
        if name == "form":
            app.screen.post_message(app.screen.RunbookPicked(INFOS[0]))  # type: ignore[attr-defined]
        await pilot.press(*keys)
        await pilot.pause(0.4)
        return app.export_screenshot()


async def main(folder: Path, names: list[str]) -> None:
    """All scenes in all sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or SCENES:
        for size in ((80, 24), (200, 50)):
            svg = await draw(name, size, "runbookd-dark")
            (folder / f"{name}-{size[0]}.svg").write_text(svg, "utf-8")
    for name in ("waiting", "failed"):
        (folder / f"{name}-light.svg").write_text(await draw(name, (80, 24), "runbookd-light"))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
