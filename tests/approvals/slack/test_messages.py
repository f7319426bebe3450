"""What the channel says in Slack: once, in order, and up to date in the end."""

import asyncio
import json
from typing import Any

import pytest

from runbookd.approvals.slack.blocks import APPROVE
from runbookd.approvals.slack.calls import CallFailed
from runbookd.approvals.slack.once import Once
from runbookd.approvals.slack.outbox import Outbox
from runbookd.errors import InputError, Unavailable

from .. import samples
from .world import World, becomes


def heading(message: dict[str, Any]) -> str:
    text: str = message["blocks"][0]["text"]["text"]
    return text


async def test_the_request_is_posted_with_its_source_and_pings_nobody(world: World) -> None:
    message = world.message()
    assert "Approval wanted" in heading(message)
    assert json.dumps(samples.SOURCE)[1:-1] in json.dumps(message["blocks"])
    assert message["text"].endswith(f"({world.session.view.fingerprint})")


async def test_a_decision_takes_the_buttons_away_and_leaves_the_source(world: World) -> None:
    await world.press("U0DANA", APPROVE)
    await world.channel.update(world.ref, world.session.view)
    await becomes(lambda: "Approved" in heading(world.message()))
    blocks = json.dumps(world.message()["blocks"])
    assert APPROVE not in blocks
    assert "U0DANA (1 of 1)" in blocks
    assert json.dumps(samples.SOURCE)[1:-1] in blocks


async def test_results_go_into_the_thread_as_plain_text(world: World) -> None:
    await world.channel.thread(world.ref, "ended: <!channel> *ok*\x1b[2J " + "x" * 20_000)
    await becomes(lambda: bool(world.messages(thread_ts=world.ts)[1:]))
    reply = world.messages(thread_ts=world.ts)[-1]
    assert "\x1b" not in json.dumps(reply)
    assert "more characters" in reply["blocks"][-1]["text"]["text"]
    assert {block["text"]["type"] for block in reply["blocks"]} == {"plain_text"}


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "ratelimited", "retry_after": 1},
        {"kind": "http", "status": 503},
        {"kind": "error", "error": "internal_error"},
        {"kind": "lost"},
    ],
)
async def test_an_update_that_failed_is_tried_again_and_only_the_last_one_is_sent(
    world: World, fault: dict[str, Any]
) -> None:
    await world.control.do("fault", method="chat.update", **fault)
    for state in ("approved", "executing", "done"):
        view = world.session.view.model_copy(update={"state": state})
        await world.channel.update(world.ref, view)
    await becomes(lambda: "Done" in heading(world.message()))
    calls = [c for c in world.slack.workspace.calls if c["method"] == "chat.update"]
    assert len(calls) <= 3


@pytest.mark.parametrize("error", ["msg_blocks_too_long", "invalid_blocks"])
async def test_when_slack_counts_otherwise_the_message_still_tells_how_it_stands(
    world: World, error: str
) -> None:
    await world.control.do("fault", method="chat.update", kind="error", error=error)
    view = world.session.view.model_copy(update={"state": "denied"})
    await world.channel.update(world.ref, view)
    await becomes(lambda: "Denied" in heading(world.message()))
    assert "NOT EVERYTHING" in json.dumps(world.message()["blocks"])


async def test_what_will_never_be_taken_is_dropped_and_shows_in_the_health(world: World) -> None:
    gone = {"channel": world.ref["channel"], "ts": "1.000001"}
    await world.channel.update(gone, world.session.view)
    await becomes(lambda: "message_not_found" in world.channel.health().detail)
    assert world.channel.health().state == "connected"
    view = world.session.view.model_copy(update={"state": "expired"})
    await world.channel.update(world.ref, view)
    await becomes(lambda: "Expired" in heading(world.message()))
    assert world.channel.health().detail == ""


async def test_what_waits_is_sent_before_the_channel_ends(world: World) -> None:
    view = world.session.view.model_copy(update={"state": "revoked"})
    await world.channel.update(world.ref, view)
    world.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await world.running
    assert "Taken back" in heading(world.message())


async def test_a_request_too_long_for_slack_is_refused_and_nothing_is_posted(
    world: World,
) -> None:
    before = len(world.messages())
    view = samples.view(of=samples.document(source="x" * 300_000), id="r-huge")
    with pytest.raises(InputError, match="too long"):
        await world.channel.post(view)
    assert len(world.messages()) == before


@pytest.mark.parametrize(
    "fault", [{"kind": "ratelimited"}, {"kind": "http", "status": 500}, {"kind": "lost"}]
)
async def test_posting_is_tried_again_when_slack_is_busy(
    world: World, fault: dict[str, Any]
) -> None:
    await world.control.do("fault", method="chat.postMessage", **fault)
    ref = await world.channel.post(samples.view(id="r-2"))
    assert ref["ts"] != world.ts


@pytest.mark.parametrize("error", ["not_in_channel", "is_archived", "restricted_action"])
async def test_a_channel_that_cannot_be_posted_to_is_said_at_once(world: World, error: str) -> None:
    await world.control.do("fault", method="chat.postMessage", kind="error", error=error)
    with pytest.raises(Unavailable, match=error):
        await world.channel.post(samples.view(id="r-2"))


async def test_rate_limits_are_kept_and_everything_arrives_in_the_end(world: World) -> None:
    await world.control.do("limits", on=True)
    for number in range(7):
        await world.channel.thread(world.ref, f"line {number}")

    def said() -> list[str]:
        replies = world.messages(thread_ts=world.ts)
        return [r["text"] for r in replies if r["ts"] != world.ts]

    await becomes(lambda: len(said()) == 7, timeout_s=30)
    assert said() == [f"line {number}" for number in range(7)]


async def test_a_limited_call_waits_as_long_as_it_was_told_and_others_wait_longer_each_time() -> (
    None
):
    waits: list[float] = []
    failures = [
        CallFailed("limited", "ratelimited", retry_after_s=7),
        CallFailed("away", "x"),
        CallFailed("away", "x"),
        CallFailed("limited", "ratelimited", retry_after_s=9_000),
    ]

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def send() -> None:
        if failures:
            raise failures.pop(0)

    outbox = Outbox(sleep)
    outbox.put(("update",), send)
    await outbox.drain()
    assert waits[0] == 7
    assert waits[2] > waits[1]
    assert waits[3] == 60


async def test_a_fault_in_one_message_does_not_keep_the_others_back() -> None:
    sent: list[str] = []

    async def broken() -> None:
        raise ZeroDivisionError

    async def fine() -> None:
        sent.append("fine")

    outbox = Outbox()
    outbox.put(("a",), broken)
    outbox.put(("b",), fine)
    await outbox.drain()
    assert sent == ["fine"]


async def test_an_act_that_failed_may_be_tried_again_and_one_that_worked_may_not() -> None:
    once = Once()
    done: list[int] = []

    async def fail() -> None:
        raise ZeroDivisionError

    async def work() -> None:
        await asyncio.sleep(0)
        done.append(1)

    with pytest.raises(ZeroDivisionError):
        await once.do(("k",), fail)
    await asyncio.gather(*(once.do(("k",), work) for _ in range(5)))
    await once.do(("other",), work)
    assert len(done) == 2
