"""Slack as an approval channel: posts requests and keeps them up to date."""

import asyncio
import random
from collections.abc import Callable

import aiohttp
import structlog
from slack_sdk.web.async_client import AsyncWebClient

from runbookd.api import ChannelHealth
from runbookd.approvals.channel import DecisionSink, Ref
from runbookd.approvals.slack.blocks import full_text, is_whole, message
from runbookd.approvals.slack.calls import (
    TIMEOUT_S,
    CallFailed,
    answer_of,
    on_loopback,
    web_client,
)
from runbookd.approvals.slack.connection import Connection
from runbookd.approvals.slack.desk import Desk
from runbookd.approvals.slack.elements import Block, escaped, note
from runbookd.approvals.slack.health import Pulse
from runbookd.approvals.slack.limits import clip, pieces
from runbookd.approvals.slack.outbox import Outbox
from runbookd.approvals.slack.shown import ShownRequests
from runbookd.approvals.slack.socket import Pace
from runbookd.approvals.view import RequestView
from runbookd.clock import Clock
from runbookd.errors import SettingsError, Unavailable
from runbookd.visible import visible

_log = structlog.get_logger(__name__)

_POST_PATIENCE_S = 20.0
_LAST_WORDS_S = 2.0
_THREAD_PIECES = 3
_TOO_LONG = {"msg_blocks_too_long", "invalid_blocks", "msg_too_long"}


class SlackChannel:
    """An approval channel in one Slack channel, through Socket Mode.

    Args:
        base_url: of the Web API, with a slash at the end; https unless on loopback.
        bot_token, app_token: xoxb- and xapp-.
        channel: the id of the channel to post to.
        sink: takes decisions; see :data:`runbookd.approvals.channel.DecisionSink`.
        clock: for how long Slack has been away.
        pace: times of the connection.
        jitter: a random number from 0 to 1, so that many daemons do not reconnect in step.

    Raises:
        SettingsError: the tokens would travel unencrypted.
    """

    name = "slack"

    def __init__(
        self,
        base_url: str,
        bot_token: str,
        app_token: str,
        channel: str,
        sink: DecisionSink,
        clock: Clock,
        *,
        pace: Pace | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        if not base_url.startswith("https://") and not on_loopback(base_url):
            raise SettingsError("slack.base_url is not encrypted", "use an https:// address")
        self._web: AsyncWebClient = web_client(base_url, bot_token)
        self._channel = channel
        self._pace = pace or Pace()
        self._pulse = Pulse(clock, self._pace.ping + self._pace.silent)
        self._shown = ShownRequests()
        self._outbox = Outbox()
        self._connection = Connection(
            self._web,
            app_token,
            Desk(self._web, channel, self._shown, sink),
            self._pulse,
            self._pace,
            jitter,
        )
        self._threads = 0

    def health(self) -> ChannelHealth:
        """Whether clicks arrive, since when, and what is wrong."""
        return self._pulse.report(self._outbox.problem)

    async def run(self) -> None:
        """Stay connected, take clicks and send what waits, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            self._web.session = session
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._outbox.run())
                    await self._connection.keep(tasks)
            finally:
                await self._last_words()
                self._web.session = None

    async def _last_words(self) -> None:
        """Give what waits a last chance, so that no message stays behind the record."""
        try:
            async with asyncio.timeout(_LAST_WORDS_S):
                await self._outbox.drain()
        except TimeoutError:
            _log.info("slack.left_unsent")

    async def post(self, view: RequestView) -> Ref:
        """Show a new request; tries for some seconds when Slack is busy or away.

        Raises:
            InputError: it is too long for Slack even in a modal.
            Unavailable: Slack does not take it; says why.
        """
        text = full_text(view)
        self._shown.put(view, None)
        posted = await self._insist(view)
        ref = {"channel": posted[0], "ts": posted[1]}
        self._shown.put(view, ref)
        if not is_whole(view):
            self._outbox.put(("file", *posted), lambda: self._send_file(ref, view, text))
        return ref

    async def update(self, ref: Ref, view: RequestView) -> None:
        """Show where the request stands now, as soon as Slack takes it."""
        self._shown.put(view, ref)
        key = ("update", ref["channel"], ref["ts"])
        self._outbox.put(key, lambda: self._send_update(ref, view))

    async def thread(self, ref: Ref, text: str) -> None:
        """Say something in the request's thread, as soon as Slack takes it."""
        self._threads += 1
        self._outbox.put(("thread", str(self._threads)), lambda: self._send_reply(ref, text))

    async def _insist(self, view: RequestView) -> tuple[str, str]:
        hint = "another OS user can decide with `runbookd approve`"
        shown = message(view)
        wait = self._pace.first
        why = "no answer"
        try:
            async with asyncio.timeout(_POST_PATIENCE_S):
                while True:
                    if self._pulse.state == "refused":
                        why = self._pulse.detail
                        break
                    try:
                        answer = await answer_of(
                            self._web.chat_postMessage(
                                channel=self._channel,
                                text=shown.text,
                                blocks=shown.blocks,
                                mrkdwn=False,
                                unfurl_links=False,
                                unfurl_media=False,
                            )
                        )
                        return str(answer["channel"]), str(answer["ts"])
                    except CallFailed as failed:
                        why = str(failed)
                        if failed.kind in {"refused", "wrong"}:
                            break
                        await asyncio.sleep(failed.retry_after_s or wait)
                        wait *= 2
        except TimeoutError:
            pass
        raise Unavailable(f"Slack did not take request {view.fingerprint}: {why}", hint)

    async def _send_update(self, ref: Ref, view: RequestView) -> None:
        try:
            await self._replace(ref, view, whole=None)
        except CallFailed as failed:
            if failed.code not in _TOO_LONG:
                raise
            # Slack counts otherwise than we do. How things stand matters more than the rest.
            await self._replace(ref, view, whole=False)

    async def _replace(self, ref: Ref, view: RequestView, *, whole: bool | None) -> None:
        shown = message(view, whole=whole)
        await answer_of(
            self._web.chat_update(
                channel=ref["channel"], ts=ref["ts"], text=shown.text, blocks=shown.blocks
            )
        )

    async def _send_file(self, ref: Ref, view: RequestView, text: str) -> None:
        await answer_of(
            self._web.files_upload_v2(
                filename=f"{view.fingerprint}.txt",
                title=f"{view.fingerprint}: everything that is asked for",
                content=text,
                channel=ref["channel"],
                thread_ts=ref["ts"],
            )
        )

    async def _send_reply(self, ref: Ref, text: str) -> None:
        whole = pieces(visible(text))
        blocks: list[Block] = [note(piece) for piece in whole[:_THREAD_PIECES]]
        left_out = sum(len(piece) for piece in whole[_THREAD_PIECES:])
        if left_out:
            blocks.append(note(f"… {left_out} more characters are in the session's record"))
        await answer_of(
            self._web.chat_postMessage(
                channel=ref["channel"],
                thread_ts=ref["ts"],
                text=escaped(clip(visible(text), 300)),
                blocks=blocks,
                mrkdwn=False,
                unfurl_links=False,
                unfurl_media=False,
            )
        )
