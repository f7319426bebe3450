"""Takes what people do in Slack: checks that it is genuine, looks the person up, hands it on.

A decision is acknowledged only after the session has made it, or its refusal, durable. Nothing is
decided here. Whoever is turned away is told why, and nobody else.
"""

from typing import Literal, assert_never

import structlog
from slack_sdk.web.async_client import AsyncWebClient

from runbookd.approvals.channel import DecisionReply, DecisionSink, IncomingDecision
from runbookd.approvals.slack.blocks import (
    REASON_BLOCK,
    denial_modal,
    is_whole,
    reading_modal,
)
from runbookd.approvals.slack.calls import CallFailed, answer_of
from runbookd.approvals.slack.elements import Block, escaped, note
from runbookd.approvals.slack.identity import look_up
from runbookd.approvals.slack.interactions import Click, Denial, Workspace, read
from runbookd.approvals.slack.limits import REASON, TEXT, clip, length
from runbookd.approvals.slack.once import Once
from runbookd.approvals.slack.shown import Shown, ShownRequests
from runbookd.approvals.slack.socket import Acknowledge, Envelope
from runbookd.errors import RunbookdError
from runbookd.visible import visible

_log = structlog.get_logger(__name__)

_UNKNOWN = (
    "Nothing was decided: this runbookd does not show that request with this message. It may "
    "belong to another runbookd, or a newer message may have taken its place."
)
_READ_FIRST = (
    "Nothing was decided: not everything fits into the message. Press “Read it in full” first, "
    "then approve."
)


class Desk:
    """Where interactions arrive.

    Args:
        web: with the bot's token.
        channel: where people are told things.
        shown: what is shown in Slack.
        sink: takes the decisions.
    """

    def __init__(
        self, web: AsyncWebClient, channel: str, shown: ShownRequests, sink: DecisionSink
    ) -> None:
        self._web = web
        self._channel = channel
        self._shown = shown
        self._sink = sink
        self._once = Once()
        self.ours: Workspace | None = None
        """What belongs to us. Until it is known nothing is taken."""

    async def take(self, envelope: Envelope, acknowledge: Acknowledge) -> None:
        """Deal with one envelope, whatever is in it; raises nothing."""
        try:
            act = read(envelope.payload) if envelope.kind == "interactive" else None
            if act is None or self.ours is None or act.who.identity.app != self.ours.app:
                _log.info("slack.ignored", known=act is not None)
                await acknowledge()
                return
            match act:
                case Click():
                    await self._clicked(act, self.ours, acknowledge)
                case Denial():
                    await self._denied(act, self.ours, acknowledge)
                case _:
                    assert_never(act)
        except Exception as error:  # noqa: BLE001 - one bad envelope must not end the daemon
            # Neither traceback nor text: they may hold what must not be logged.
            _log.error("slack.envelope_failed", error=type(error).__name__)

    async def _clicked(self, click: Click, ours: Workspace, acknowledge: Acknowledge) -> None:
        stranger = click.who.stranger_to(ours)
        shown = await self._shown.find(click.value.request, click.value.session)
        genuine = shown is not None and click.bot == ours.bot and click.is_on(shown.ref or {})
        refusal = ""
        if stranger:
            refusal = f"Nothing was decided: {stranger}."
        elif shown is None or not genuine:
            refusal = _UNKNOWN
        elif (
            click.action == "approve"
            and not is_whole(shown.view)
            and click.who.identity.user not in shown.read_by
        ):
            refusal = _READ_FIRST
        if refusal or shown is None:
            await acknowledge()
            await self._once.do(click.key, lambda: self._tell(click, refusal))
            return
        found = shown
        match click.action:
            case "approve":
                await self._decide(click, "approve", "", found, acknowledge)
            case "deny":
                await acknowledge()
                await self._once.do(click.key, lambda: self._open_denial(click, found))
            case "read":
                await acknowledge()
                await self._once.do(click.key, lambda: self._open_reading(click, found))
            case _:
                assert_never(click.action)

    async def _denied(self, denial: Denial, ours: Workspace, acknowledge: Acknowledge) -> None:
        if not denial.reason or len(denial.reason) > REASON:
            errors = {REASON_BLOCK: f"Say why, in at most {REASON} characters."}
            await acknowledge({"response_action": "errors", "errors": errors})
            return
        stranger = denial.who.stranger_to(ours)
        shown = await self._shown.find(denial.value.request, denial.value.session)
        if stranger or shown is None or denial.view_app != ours.app:
            await acknowledge()
            refusal = f"Nothing was decided: {stranger}." if stranger else _UNKNOWN
            await self._once.do(denial.key, lambda: self._tell(denial, refusal))
            return
        await self._decide(denial, "deny", denial.reason, shown, acknowledge)

    async def _decide(
        self,
        act: Click | Denial,
        decision: Literal["approve", "deny"],
        reason: str,
        shown: Shown,
        acknowledge: Acknowledge,
    ) -> None:
        """Look the person up, hand the decision over, acknowledge; say when it did not count."""
        replies: list[DecisionReply] = []

        async def hand_over() -> None:
            who = act.who.identity
            facts = await look_up(self._web, who.user, who.team, shown.view.usergroups)
            incoming = IncomingDecision(
                request=act.value.request,
                session=act.value.session,
                digest=act.value.digest,
                decision=decision,
                reason=reason,
                via="slack",
                identity=who,
                facts=facts,
                key=act.key,
            )
            replies.append(await self._sink(incoming))

        try:
            await self._once.do(act.key, hand_over)
        except RunbookdError as error:
            # Not acknowledged: it is not on record, and Slack shows that it did not work.
            await self._tell(act, f"Nothing was decided: {error}.")
            return
        await acknowledge()
        for reply in replies:
            if not reply.accepted:
                await self._tell(act, f"This did not count: {reply.text}.")

    async def _open_denial(self, click: Click, shown: Shown) -> None:
        await self._open(click, denial_modal(shown.view))

    async def _open_reading(self, click: Click, shown: Shown) -> None:
        if await self._open(click, reading_modal(shown.view)):
            shown.read_by.add(click.who.identity.user)

    async def _open(self, click: Click, modal: Block) -> bool:
        """Open a modal for who has just clicked; whether that worked."""
        try:
            await answer_of(self._web.views_open(trigger_id=click.trigger, view=modal))
        except CallFailed as failed:
            _log.warning("slack.modal_failed", error=failed.code)
            await self._tell(click, "Slack did not open the window. Press the button again.")
            return False
        return True

    async def _tell(self, act: Click | Denial, text: str) -> None:
        """Say something to who has just acted, and to nobody else."""
        shown = clip(visible(text), TEXT, length)
        try:
            await answer_of(
                self._web.chat_postEphemeral(
                    channel=self._channel,
                    user=act.who.identity.user,
                    text=escaped(shown),
                    blocks=[note(shown)],
                )
            )
        except CallFailed as failed:
            _log.warning("slack.not_told", error=failed.code)
