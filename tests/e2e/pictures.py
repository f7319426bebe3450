"""``make pictures``: the pictures in the docs, taken by Textual from a real drill."""

import asyncio
import tempfile
from pathlib import Path

from textual.pilot import Pilot

from runbookd.client.client import DaemonClient
from runbookd.client.follow import following
from runbookd.drill import run
from runbookd.session.state import SessionState
from runbookd.settings import load_settings
from runbookd.tui.app import RunbookdApp

DOCS = Path(__file__).parents[2] / "docs"


async def _walk_to_the_gate(pilot: Pilot[None], session: str, client: DaemonClient) -> None:
    async with following(client, session) as follower:

        def waits(state: SessionState) -> bool:
            return any(asked.posted for asked in state.requests.values())

        for _ in range(120):
            if waits(follower.state):
                return
            await pilot.press("a" if len(pilot.app.screen_stack) > 2 else "enter")
            await follower.until(lambda state: state.running is None, 15)
            await pilot.pause(0.4)
    raise TimeoutError("the drill did not reach its gate")


async def take() -> None:
    """Rehearse up to the gate and save what the terminal shows there."""
    with tempfile.TemporaryDirectory() as home:
        drill = await run.prepare(load_settings(Path(home)), None)
        try:
            async with DaemonClient(drill.settings) as client:
                app = RunbookdApp(client, runbook=drill.wanted(), drill_page=drill.page)
                async with app.run_test(size=(112, 36)) as pilot:
                    while not (found := await client.sessions()):
                        await pilot.pause(0.1)
                    await _walk_to_the_gate(pilot, found[0].id, client)
                    await pilot.pause(2)
                    svg = app.export_screenshot(title="runbookd")
            (DOCS / "walk.svg").write_text(svg, encoding="utf-8")
        finally:
            await run.end(drill)


if __name__ == "__main__":
    asyncio.run(take())
