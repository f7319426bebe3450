"""The way to Slack: lost, refused, silent, shared, and found again."""

import asyncio
import gc
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from runbookd.approvals.slack.blocks import APPROVE, DENY, REASON_ACTION, REASON_BLOCK
from runbookd.approvals.slack.health import Pulse
from runbookd.approvals.slack.socket import NotConnected, Pace, serve
from runbookd.clock import SystemClock
from runbookd.drill.slack import lookups
from runbookd.drill.slack.remote import SlackControl
from runbookd.drill.slack.server import Slack
from runbookd.errors import SettingsError, Unavailable

from .. import samples
from .world import QUICK, Session, World, becomes, running, slack_channel


async def clicks_arrive(world: World) -> None:
    """A click is taken. One that met no socket is repeated, as a person would."""
    async with asyncio.timeout(10):
        while not (await world.press("U0DANA", APPROVE))["ok"]:
            await world.connected()
    assert world.session.taken[-1].identity.user == "U0DANA"


def tickets(world: World) -> int:
    return sum(c["method"] == "apps.connections.open" for c in world.slack.workspace.calls)


@pytest.mark.parametrize("reason", ["warning", "refresh_requested"])
async def test_when_slack_asks_for_it_there_is_a_new_connection_on_a_fresh_address(
    world: World, reason: str
) -> None:
    await world.control.do("sockets", do="disconnect", reason=reason)
    await becomes(lambda: tickets(world) == 2 and world.slack.sockets.count == 1)
    await world.connected()
    await clicks_arrive(world)


async def test_a_connection_that_was_cut_is_opened_again(world: World) -> None:
    await world.control.do("sockets", do="drop")
    await becomes(lambda: tickets(world) == 2)
    await world.connected()
    await clicks_arrive(world)


async def test_a_refused_ticket_is_not_tried_again_but_a_new_one_is(world: World) -> None:
    await world.control.do("sockets", do="refuse_tickets", times=3)
    await world.control.do("sockets", do="drop")
    await becomes(lambda: tickets(world) == 5)
    await world.connected()
    await clicks_arrive(world)


async def test_a_socket_that_says_nothing_is_noticed_and_replaced(world: World) -> None:
    await world.control.do("sockets", do="silence")
    await becomes(lambda: world.channel.health().state == "away")
    await becomes(lambda: tickets(world) >= 2)
    await world.connected()


async def test_while_slack_is_down_the_channel_is_away_since_then_and_comes_back(
    world: World,
) -> None:
    before = SystemClock().now()
    await world.control.do("listening", on=False)
    await becomes(lambda: "does not answer" in world.channel.health().detail)
    health = world.channel.health()
    assert health.state == "away"
    assert before <= datetime.fromisoformat(health.since) <= SystemClock().now()
    await world.control.do("listening", on=True)
    await world.connected()
    assert world.channel.health().detail == ""
    await clicks_arrive(world)


async def test_a_click_that_is_being_recorded_survives_its_connection(world: World) -> None:
    world.session.hold = asyncio.Event()
    pressing = asyncio.create_task(world.press("U0DANA", APPROVE))
    await world.session.entered.wait()
    await world.control.do("sockets", do="drop")
    await becomes(lambda: tickets(world) == 2)
    world.session.hold.set()
    await becomes(lambda: world.session.view.state == "approved")
    assert not (await pressing)["ok"]


@pytest.mark.parametrize(
    ("tokens", "advice"),
    [
        ({"bot_token": "xoxb-wrong"}, "invalid_auth"),
        ({"app_token": "xapp-wrong"}, "invalid_auth"),
        ({"bot_token": ""}, "not_authed"),
    ],
)
async def test_a_refused_token_is_said_with_what_to_do(
    slack: Slack, tokens: dict[str, str], advice: str
) -> None:
    channel = slack_channel(slack, Session(samples.view()), **tokens)
    async with running(channel):
        await becomes(lambda: channel.health().state == "refused")
        assert advice in channel.health().detail
        assert "runbookd secrets set" in channel.health().detail
        with pytest.raises(Unavailable, match=advice) as refused:
            await channel.post(samples.view())
        assert "runbookd approve" in refused.value.hint


async def test_swapped_tokens_are_said_to_be_swapped(slack: Slack) -> None:
    swapped = {"bot_token": slack.tokens.app, "app_token": slack.tokens.bot}
    channel = slack_channel(slack, Session(samples.view()), **swapped)
    async with running(channel):
        await becomes(lambda: channel.health().state == "refused")
        assert "swapped" in channel.health().detail


async def test_tokens_of_two_different_apps_are_refused(
    slack: Slack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookups, "APP", "A0OTHER")
    channel = slack_channel(slack, Session(samples.view()))
    async with running(channel):
        await becomes(lambda: channel.health().state == "refused")
        assert "different apps" in channel.health().detail


@pytest.mark.parametrize("error", ["account_inactive", "token_revoked", "missing_scope"])
async def test_after_a_refusal_the_channel_comes_back_once_it_is_let_in(
    world: World, error: str
) -> None:
    await world.control.do(
        "fault", method="apps.connections.open", kind="error", error=error, times=3
    )
    await world.control.do("sockets", do="drop")
    await becomes(lambda: world.channel.health().state == "refused")
    await world.connected()


async def test_socket_mode_switched_off_is_a_refusal(world: World) -> None:
    await world.control.do(
        "fault", method="auth.test", kind="error", error="account_inactive", times=1_000
    )
    await world.control.do("sockets", do="disconnect", reason="link_disabled")
    await becomes(lambda: world.channel.health().state == "refused")
    await world.control.do("clear_faults")
    await world.connected()


async def test_a_second_daemon_on_the_same_app_is_reported(world: World) -> None:
    second = slack_channel(world.slack, Session(samples.view()))
    async with running(second):
        await becomes(lambda: second.health().state == "connected")
        assert "1 more connected as this app" in second.health().detail


async def test_a_click_that_went_to_another_daemon_is_not_taken_and_said_so(
    world: World,
) -> None:
    session = Session(samples.view())
    second = slack_channel(world.slack, session)
    async with running(second):
        await becomes(lambda: second.health().state == "connected")
        # Slack hands clicks to the connections in turn.
        for _ in range(2):
            assert (await world.press("U0MAX", APPROVE))["ok"]
        await becomes(lambda: len(world.messages(shown_to="U0MAX")) == 2)
    assert session.taken == []
    assert len(world.session.taken) == 1
    texts = [m["blocks"][0]["text"]["text"] for m in world.messages(shown_to="U0MAX")]
    assert sum("does not show that request" in text for text in texts) == 1


async def test_more_connections_than_slack_allows_are_reported(slack: Slack) -> None:
    calm = Pace(ping=0.2, silent=5, first=0.02, longest=0.1)
    channels = [slack_channel(slack, Session(samples.view()), pace=calm) for _ in range(11)]
    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(channel.run()) for channel in channels]
        await becomes(lambda: any("ten others" in c.health().detail for c in channels))
        for run in runs:
            run.cancel()


async def test_after_a_restart_clicks_count_once_the_record_was_read(
    slack: Slack,
) -> None:
    session = Session(samples.view())
    first = slack_channel(slack, session)
    async with SlackControl(slack.base) as control:
        async with running(first) as task:
            world = World(slack, control, session, first, task)
            await world.connected()
            await world.post()
        assert first.health().state == "off"
        second = slack_channel(slack, session)
        async with running(second) as task:
            world.channel, world.running = second, task
            await world.connected()
            await world.press("U0DANA", APPROVE)
            assert "does not show that request" in await world.told("U0DANA")
            await second.update(world.ref, session.view)
            await world.press("U0DANA", APPROVE)
            assert session.view.state == "approved"


async def test_nothing_is_left_open_when_the_channel_is_cancelled(world: World) -> None:
    world.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await world.running
    assert world.channel.health().state == "off"
    await becomes(lambda: world.slack.sockets.count == 0)
    gc.collect()
    ours = [t.get_coro().__qualname__ for t in asyncio.all_tasks()]
    assert not any("approvals" in name or "ClientConnection" in name for name in ours)


async def test_no_token_ticket_or_response_address_is_ever_logged(
    world: World, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith(("slack_sdk", "websockets", "aiohttp", "runbookd")):
            caplog.set_level(logging.DEBUG, logger=name)
    await world.control.do("sockets", do="refuse_tickets", times=1)
    await world.control.do("sockets", do="drop")
    await becomes(lambda: tickets(world) == 3)
    await world.connected()
    await world.control.do("fault", method="users.info", kind="error", error="boom")
    await world.control.do("fault", method="chat.update", kind="http", status=500)
    await clicks_arrive(world)
    await world.press("U0DANA", DENY)
    view = (await world.view_of("U0DANA"))["view"]
    await world.control.submit("U0DANA", view["id"], {REASON_BLOCK: {REASON_ACTION: "no"}})
    world.session.error = ZeroDivisionError()
    await world.press("U0LEE", APPROVE)
    await world.channel.update(world.ref, world.session.view)
    refused = slack_channel(world.slack, world.session, app_token="xapp-not-a-real-one")
    async with running(refused):
        await becomes(lambda: refused.health().state == "refused")
    said = caplog.text + "".join(capsys.readouterr())
    assert "slack.connected" in said
    secrets = [world.slack.tokens.bot, world.slack.tokens.app, "xapp-not-a-real-one"]
    secrets += ["ticket=", "/actions/", "deprecated-verification-token", "xoxb-", "xapp-"]
    # The stand-in's own client is not ours to silence: it never sees a secret.
    assert [secret for secret in secrets if secret in said] == []


def test_tokens_are_not_sent_over_an_unencrypted_line() -> None:
    with pytest.raises(SettingsError, match="not encrypted"):
        slack_channel_at("http://slack.example/api/")


def slack_channel_at(base_url: str) -> None:
    from runbookd.approvals.slack.channel import SlackChannel

    SlackChannel(base_url, "b", "a", "C0", Session(samples.view()).take, SystemClock())


async def test_a_socket_address_without_encryption_is_refused() -> None:
    with pytest.raises(NotConnected, match="not encrypted"):
        await serve(
            "ws://slack.example/link",
            greeted=lambda hello: True,
            heard=lambda: None,
            take=lambda envelope, ack: None,
            pace=QUICK,
        )


@dataclass
class ManualClock:
    """A clock that stands still until it is moved."""

    moment: datetime = field(default_factory=lambda: SystemClock().now())
    ns: int = 0

    def now(self) -> datetime:
        return self.moment

    def monotonic_ns(self) -> int:
        return self.ns

    def boot(self) -> str:
        return "boot"

    def move(self, seconds: int) -> None:
        self.moment += timedelta(seconds=seconds)
        self.ns += seconds * 1_000_000_000


def test_a_connection_without_a_sign_of_life_counts_as_away_since_the_last_one() -> None:
    clock = ManualClock()
    pulse = Pulse(clock, silent_s=15)
    pulse.change("connected")
    start = clock.now()
    clock.move(15)
    assert pulse.report().state == "connected"
    clock.move(1)
    report = pulse.report()
    assert report.state == "away"
    assert datetime.fromisoformat(report.since) == start
    assert "16 s" in report.detail
    pulse.heard()
    assert pulse.report().state == "connected"


def test_since_is_when_the_state_began_not_when_it_was_said_again() -> None:
    clock = ManualClock()
    pulse = Pulse(clock, silent_s=15)
    pulse.change("away", "one")
    begin = clock.now()
    clock.move(60)
    pulse.change("away", "two")
    assert datetime.fromisoformat(pulse.report().since) == begin
    assert pulse.report().detail == "two"
