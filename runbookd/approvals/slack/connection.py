"""Keeps the way to Slack open: one connection after the other, each on a fresh address."""

import asyncio
from collections.abc import Callable

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from runbookd.approvals.slack.calls import CallFailed, answer_of
from runbookd.approvals.slack.desk import Desk
from runbookd.approvals.slack.health import Pulse
from runbookd.approvals.slack.interactions import Workspace
from runbookd.approvals.slack.socket import (
    Acknowledge,
    Ended,
    Envelope,
    Hello,
    NotConnected,
    Pace,
    serve,
)

_log = structlog.get_logger(__name__)

_ENDED: dict[Ended, str] = {
    "refresh": "Slack asked for a new connection",
    "link_disabled": "Socket Mode is off; turn it on in the app's settings",
    "too_many_websockets": "ten others are connected as this app; stop them",
    "unwanted": "the bot token and the app token belong to different apps",
    "silent": "Slack stopped answering",
    "closed": "the connection was lost",
}
_REFUSED: set[Ended] = {"link_disabled", "unwanted"}


class Connection:
    """The connection of one app.

    Args:
        web: with the bot's token.
        app_token: opens connections.
        desk: takes what arrives.
        pulse: is told how the connection is.
        pace: its times.
        jitter: a random number from 0 to 1, so that many daemons do not reconnect in step.
    """

    def __init__(
        self,
        web: AsyncWebClient,
        app_token: str,
        desk: Desk,
        pulse: Pulse,
        pace: Pace,
        jitter: Callable[[], float],
    ) -> None:
        self._web = web
        self._app_token = app_token
        self._desk = desk
        self._pulse = pulse
        self._pace = pace
        self._jitter = jitter
        self._attempts = 0

    async def keep(self, tasks: asyncio.TaskGroup) -> None:
        """Stay connected until cancelled. What arrives is dealt with in ``tasks``."""
        self._pulse.change("connecting")
        try:
            while True:
                try:
                    wait = await self._connect(tasks)
                except CallFailed as failed:
                    wait = self._failed(failed)
                except NotConnected as error:
                    self._pulse.change("away", f"no connection: {error}")
                    wait = self._back_off()
                _log.info("slack.waiting", state=self._pulse.state, detail=self._pulse.detail)
                await asyncio.sleep(wait)
        finally:
            self._pulse.change("off")

    async def _connect(self, tasks: asyncio.TaskGroup) -> float:
        """One connection from beginning to end; returns how long to wait before the next."""
        ours = await self._ask_who_we_are()

        def greeted(hello: Hello) -> bool:
            if hello.app != ours.app:
                return False
            self._attempts = 0
            self._desk.ours = ours
            others = hello.connections - 1
            shared = f"{others} more connected as this app: clicks may go astray" if others else ""
            self._pulse.change("connected", shared)
            _log.info("slack.connected", others=others)
            return True

        def take(envelope: Envelope, acknowledge: Acknowledge) -> None:
            # Not in the connection's own tasks: a click outlives the connection it came by.
            tasks.create_task(self._desk.take(envelope, acknowledge))

        opened = await answer_of(self._web.apps_connections_open(app_token=self._app_token))
        ended = await serve(
            str(opened.get("url")),
            greeted=greeted,
            heard=self._pulse.heard,
            take=take,
            pace=self._pace,
        )
        refused = ended in _REFUSED
        self._pulse.change("refused" if refused else "away", _ENDED[ended])
        return self._pace.refused if refused else self._back_off()

    async def _ask_who_we_are(self) -> Workspace:
        me = await answer_of(self._web.auth_test())
        bot = str(me.get("bot_id"))
        about = (await answer_of(self._web.bots_info(bot=bot))).get("bot") or {}
        enterprise = me.get("enterprise_id")
        return Workspace(
            team=str(me.get("team_id")),
            enterprise=str(enterprise) if enterprise else None,
            app=str(about.get("app_id")),
            bot=bot,
        )

    def _failed(self, failed: CallFailed) -> float:
        match failed.kind:
            case "refused" | "wrong":
                self._pulse.change("refused", str(failed))
                return self._pace.refused
            case "limited":
                self._pulse.change("away", "Slack asks us to be slower")
                return min(max(failed.retry_after_s, self._back_off()), 2 * self._pace.longest)
            case "away":
                self._pulse.change("away", f"Slack does not answer: {failed}")
                return self._back_off()

    def _back_off(self) -> float:
        """Seconds to wait: random, up to a bound that doubles with every attempt in vain."""
        bound = min(self._pace.longest, self._pace.first * 2.0 ** min(self._attempts, 16))
        self._attempts += 1
        return bound * self._jitter()
