"""The control API: ``POST /control/VERB`` with a JSON object, and ``GET /control/state``.

For tests and drills: be a member, change the workspace, order faults, tamper with the sockets.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError

from runbookd.drill.slack.answers import SlackError
from runbookd.drill.slack.faults import Fault
from runbookd.drill.slack.people import CHANNEL
from runbookd.model import Frozen

if TYPE_CHECKING:
    from runbookd.drill.slack.server import Slack


class Press(Frozen):
    """Press a button (action id or label) of a message, or of an open modal."""

    user: str
    button: str
    message_ts: str | None = None
    view_id: str | None = None


class Submit(Frozen):
    """Submit a modal: block id -> action id -> text, chosen value, or list of ticked values."""

    user: str
    view_id: str
    values: dict[str, dict[str, str | list[str] | None]] = {}


class CloseView(Frozen):
    """Close a modal."""

    user: str
    view_id: str


class Say(Frozen):
    """Write a message as a member."""

    user: str
    text: str
    channel: str = CHANNEL
    thread_ts: str | None = None


class SetMember(Frozen):
    """Change properties of a member, such as ``{"is_restricted": true}``, or add one."""

    user: str
    set: dict[str, str | bool]


class SetGroup(Frozen):
    """Say who is in a user group."""

    group: str
    users: list[str]


class SetBot(Frozen):
    """Invite the bot to a channel or throw it out; take or give its scopes."""

    channel: str = CHANNEL
    member: bool = True
    scopes: list[str] | None = None


class SetLimits(Frozen):
    """Switch the rate limits."""

    on: bool


class SetListening(Frozen):
    """Let Slack be down (every connection is cut) or up again."""

    on: bool


class SocketsDo(Frozen):
    """Tamper with the open sockets."""

    do: Literal["drop", "disconnect", "silence", "speak", "refuse_tickets", "expire_tickets"]
    reason: Literal["warning", "refresh_requested", "link_disabled"] = "warning"
    times: int = Field(default=1, ge=0)


class Deliver(Frozen):
    """Send any payload whatever to the app, as if it came from Slack."""

    payload: dict[str, Any]
    kind: str = "interactive"
    accepts_response: bool = False
    envelope_id: str | None = None


class Replay(Frozen):
    """Send an envelope again."""

    envelope_id: str


class Hold(Frozen):
    """Keep the next envelopes back until they are released."""

    times: int = Field(default=1, ge=0)


class Nothing(Frozen):
    """No particulars."""


_Verb = Callable[[Any], Awaitable[Any]]


class Control:
    """The verbs of the control API over one stand-in."""

    def __init__(self, slack: "Slack") -> None:
        self._slack = slack
        self._verbs: dict[str, tuple[type[Frozen], _Verb]] = {
            "press": (Press, self._press),
            "submit": (Submit, self._submit),
            "close_view": (CloseView, self._close_view),
            "say": (Say, self._say),
            "member": (SetMember, self._member),
            "group": (SetGroup, self._group),
            "bot": (SetBot, self._bot),
            "fault": (Fault, self._fault),
            "clear_faults": (Nothing, self._clear_faults),
            "limits": (SetLimits, self._limits),
            "listening": (SetListening, self._listening),
            "sockets": (SocketsDo, self._sockets),
            "deliver": (Deliver, self._deliver),
            "replay": (Replay, self._replay),
            "hold": (Hold, self._hold),
            "release": (Nothing, self._release),
            "expire_triggers": (Nothing, self._expire_triggers),
        }

    async def carry_out(self, verb: str, body: Any) -> tuple[int, dict[str, Any]]:
        """Do what was asked; the HTTP status and the answer."""
        if verb not in self._verbs:
            return 404, {"ok": False, "error": "no_such_verb", "verbs": sorted(self._verbs)}
        model, function = self._verbs[verb]
        try:
            answer = await function(model.model_validate(body))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            return 400, {"ok": False, "error": "invalid", "detail": f"{where}: {first['msg']}"}
        except SlackError as error:
            return 409, {"ok": False, "error": error.code}
        except (KeyError, ValueError) as error:
            return 400, {"ok": False, "error": "invalid", "detail": str(error)}
        self._slack.workspace.changed()
        return 200, {"ok": True} if answer is None else answer

    async def state(self, after: int, wait_s: float) -> dict[str, Any]:
        """Everything; waits up to ``wait_s`` seconds for something newer than ``after``."""
        try:
            async with asyncio.timeout(wait_s):
                await self._slack.workspace.newer_than(after)
        except TimeoutError:
            pass
        sockets = self._slack.sockets
        return {
            **self._slack.workspace.snapshot(),
            "sockets": sockets.count,
            "listening": self._slack.listening,
            "envelopes": [asdict(envelope) for envelope in sockets.envelopes],
        }

    async def _press(self, ask: Press) -> Any:
        if (ask.message_ts is None) == (ask.view_id is None):
            raise ValueError("say message_ts or view_id")
        if ask.view_id is not None:
            return await self._slack.members.press_in_view(ask.user, ask.view_id, ask.button)
        return await self._slack.members.press(ask.user, ask.message_ts or "", ask.button)

    async def _submit(self, ask: Submit) -> Any:
        return await self._slack.members.submit(ask.user, ask.view_id, ask.values)

    async def _close_view(self, ask: CloseView) -> Any:
        return await self._slack.members.close(ask.user, ask.view_id)

    async def _say(self, ask: Say) -> Any:
        ts = self._slack.members.say(ask.user, ask.channel, ask.text, ask.thread_ts)
        return {"ok": True, "ts": ts}

    async def _member(self, ask: SetMember) -> None:
        self._slack.workspace.directory.change_member(ask.user, ask.set)

    async def _group(self, ask: SetGroup) -> None:
        self._slack.workspace.directory.set_group(ask.group, ask.users)

    async def _bot(self, ask: SetBot) -> None:
        self._slack.workspace.directory.set_bot_in_channel(ask.channel, ask.member)
        if ask.scopes is not None:
            self._slack.workspace.scopes = set(ask.scopes)

    async def _fault(self, ask: Fault) -> None:
        self._slack.faults.order(ask)

    async def _clear_faults(self, ask: Nothing) -> None:
        self._slack.faults.clear()

    async def _limits(self, ask: SetLimits) -> None:
        self._slack.limiter.on = ask.on

    async def _listening(self, ask: SetListening) -> None:
        self._slack.listening = ask.on
        if not ask.on:
            self._slack.sockets.drop()

    async def _sockets(self, ask: SocketsDo) -> Any:
        sockets = self._slack.sockets
        match ask.do:
            case "drop":
                return {"ok": True, "dropped": sockets.drop()}
            case "disconnect":
                await sockets.announce_disconnect(ask.reason)
            case "silence" | "speak":
                sockets.silence(ask.do == "silence")
            case "refuse_tickets":
                sockets.refuse_tickets = ask.times
            case "expire_tickets":
                sockets.expire_tickets()
        return None

    async def _deliver(self, ask: Deliver) -> Any:
        envelope = await self._slack.sockets.deliver(
            ask.kind,
            ask.payload,
            accepts_response=ask.accepts_response,
            envelope_id=ask.envelope_id,
        )
        return {"ok": envelope.state == "acked", **asdict(envelope)}

    async def _replay(self, ask: Replay) -> Any:
        envelope = await self._slack.sockets.replay(ask.envelope_id)
        return {"ok": envelope.state == "acked", **asdict(envelope)}

    async def _hold(self, ask: Hold) -> None:
        self._slack.sockets.hold_next = ask.times

    async def _release(self, ask: Nothing) -> Any:
        released = await self._slack.sockets.release_held()
        return {"ok": True, "released": [asdict(envelope) for envelope in released]}

    async def _expire_triggers(self, ask: Nothing) -> None:
        self._slack.workspace.expire_triggers()
