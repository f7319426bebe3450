"""A lost daemon is a banner and a reconnect; nothing is shown twice and nothing is missed."""

import asyncio

import pytest

from runbookd.errors import InputError
from runbookd.events import ClosedData, Recorded, SessionClosed
from runbookd.tui.follow import BATCH, FIRST_DELAY_S, LONGEST_DELAY_S, follow
from tests.tui.conftest import Open
from tests.tui.fake import FakeDaemon
from tests.tui.pictures import waiting
from tests.tui.script import SESSION, Script


class Notebook:
    """Takes lines down."""

    def __init__(self) -> None:
        self.lines: list[Recorded] = []
        self.batches: list[int] = []
        self.told: list[str] = []
        self.fail: Exception | None = None

    @property
    def seq(self) -> int:
        return len(self.lines)

    @property
    def closed(self) -> bool:
        return bool(self.lines) and self.lines[-1].event.type == "session.closed"

    def take(self, lines: list[Recorded]) -> None:
        if self.fail:
            raise self.fail
        self.lines += lines
        self.batches.append(len(lines))

    def lost(self, why: str, delay_s: float) -> None:
        self.told.append(f"lost: {why}")

    def back(self) -> None:
        self.told.append("back")


def closed(script: Script) -> Script:
    script.add(SessionClosed(data=ClosedData()))
    return script


async def test_all_lines_come_in_their_order_until_the_session_is_closed() -> None:
    script = Script()
    for _ in range(BATCH):
        script.run("setup", "x\n")
    reader = Notebook()
    await follow(FakeDaemon(closed(script)), SESSION, reader)
    assert reader.lines == script.lines
    assert max(reader.batches) <= BATCH
    assert reader.told == []


async def test_after_a_loss_it_goes_on_where_it_was_with_longer_and_longer_waits() -> None:
    script = Script()
    daemon = FakeDaemon(script)
    reader = Notebook()
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 7:
            daemon.gone = False
            closed(script)

    async def kill() -> None:
        async with asyncio.timeout(5):
            while reader.seq < len(script.lines):
                await asyncio.sleep(0.01)
        await daemon.die()

    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow(daemon, SESSION, reader, sleep=sleep))
        await kill()
        await following
    assert reader.lines == script.lines
    assert daemon.starts == [0, 2]
    assert waits[0] == FIRST_DELAY_S
    assert waits == sorted(waits)
    assert max(waits) == LONGEST_DELAY_S
    assert reader.told[-1] == "back"


async def test_a_failure_of_the_reader_ends_it_as_that_failure() -> None:
    reader = Notebook()
    reader.fail = InputError("a line that does not fit")
    with pytest.raises(InputError, match="does not fit"):
        await follow(FakeDaemon(Script()), SESSION, reader)


async def test_it_can_be_cancelled_at_any_time() -> None:
    following = asyncio.ensure_future(follow(FakeDaemon(Script()), SESSION, Notebook()))
    await asyncio.sleep(0)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_the_screen_says_that_the_daemon_is_lost_and_comes_back(walking: Open) -> None:
    daemon = FakeDaemon(waiting())
    async with walking(daemon) as walk:
        await daemon.die()
        await walk.until(
            lambda: "daemon lost; trying again in 1 s (the daemon does not" in walk.text()
        )
        assert "daemon lost" in walk.rows()[0]
        await walk.go("log")
        await walk.press("enter")
        assert daemon.commands == []
        assert "nothing can be done until it is back" in walk.notices()
        daemon.script.decide("reap", "r5")
        daemon.gone = False
        await walk.until(lambda: walk.screen.seq == len(daemon.script.lines))
        assert "trying again" not in walk.text()
        assert "◆ Reap" in walk.text()


async def test_a_session_that_is_not_there_is_one_line(walking: Open) -> None:
    from runbookd.tui.app import RunbookdApp

    app = RunbookdApp(FakeDaemon(Script()), start="no-such-session")
    async with app.run_test(size=(80, 24)) as pilot:
        async with asyncio.timeout(5):
            while not app._notifications:
                await pilot.pause(0.01)
        said = [notice.message for notice in app._notifications]
        assert said == ["there is no session 'no-such-session'; see `runbookd sessions`"]


async def test_a_record_with_a_gap_stops_the_walk_and_says_so(walking: Open) -> None:
    daemon = FakeDaemon(Script())
    async with walking(daemon) as walk:
        line = daemon.script.lines[-1]
        daemon.script.lines.append(line.model_copy(update={"seq": 7}))
        await daemon.tell()
        await walk.until(lambda: "came where line 2 belongs" in walk.text())
        await walk.press("enter")
        assert daemon.commands == []


async def test_blobs_are_fetched_when_they_come_into_view(walking: Open) -> None:
    from runbookd.events import Content

    script = Script()
    run = script.start("verify")
    script.blobs["e" * 64] = b"from the blob\n"
    content = Content(mime="text/plain", bytes=20_000, blob="e" * 64)
    script.contents(run, "verify", "stdout", content)
    script.finish(run, "verify")
    script.run("setup")
    daemon = FakeDaemon(script)
    async with walking(daemon, size=(120, 40)) as walk:
        await walk.go("setup")
        assert daemon.fetched == []
        await walk.go("verify")
        await walk.until(lambda: "│ from the blob" in walk.text())
        assert daemon.fetched == ["e" * 64]


async def test_a_blob_that_is_missing_is_said_in_its_place(walking: Open) -> None:
    from runbookd.events import Content

    script = Script()
    run = script.start("setup")
    content = Content(mime="text/plain", bytes=20_000, blob="f" * 64)
    script.contents(run, "setup", "stdout", content)
    async with walking(FakeDaemon(script), size=(120, 60)) as walk:
        await walk.until(lambda: "[not loaded: there is no such blob]" in walk.text())
