"""What people do in Slack, read from the payloads that tell of it: pure.

https://docs.slack.dev/reference/interaction-payloads/block_actions-payload and
https://docs.slack.dev/reference/interaction-payloads/view-interactions-payload
"""

from dataclasses import dataclass
from typing import Any, Literal

from runbookd.approvals.channel import Ref, SlackIdentity
from runbookd.approvals.slack.blocks import (
    APPROVE,
    DENY,
    READ,
    REASON_ACTION,
    REASON_BLOCK,
    ButtonValue,
    read_value,
)

_ACTIONS: dict[str, Literal["approve", "deny", "read"]] = {
    APPROVE: "approve",
    DENY: "deny",
    READ: "read",
}


@dataclass(frozen=True, slots=True)
class Workspace:
    """What belongs to us, as Slack told us and not as a payload claims."""

    team: str
    enterprise: str | None
    app: str
    bot: str


@dataclass(frozen=True, slots=True)
class Who:
    """Who acted, and where they and the act belong, as the payload says."""

    identity: SlackIdentity
    home_team: str

    def stranger_to(self, ours: Workspace) -> str:
        """Why this act is none of ours; empty when it is."""
        if self.identity.app != ours.app:
            return "it belongs to another app"
        if self.identity.team != ours.team or self.home_team != ours.team:
            return "you are not of this workspace"
        if self.identity.enterprise != ours.enterprise:
            return "you are not of this organisation"
        return ""


@dataclass(frozen=True, slots=True)
class Click:
    """Somebody pressed a button of a message."""

    who: Who
    action: Literal["approve", "deny", "read"]
    value: ButtonValue
    channel: str
    message_ts: str
    bot: str
    trigger: str
    action_ts: str

    @property
    def key(self) -> tuple[str, ...]:
        """The same for every delivery of this click."""
        who = self.who.identity
        return (who.team, who.user, self.channel, self.message_ts, self.action_ts)

    def is_on(self, ref: Ref) -> bool:
        """Whether it was pressed on the message that shows the request."""
        return (self.channel, self.message_ts) == (ref.get("channel"), ref.get("ts"))


@dataclass(frozen=True, slots=True)
class Denial:
    """Somebody submitted the modal that asks why they deny.

    ``who`` is of the submission. ``value`` comes from the modal's metadata, and is no proof of
    anything: it is checked like a click's.
    """

    who: Who
    value: ButtonValue
    reason: str
    view: str
    view_hash: str
    view_app: str

    @property
    def key(self) -> tuple[str, ...]:
        """The same for every delivery of this submission."""
        who = self.who.identity
        return (who.team, who.user, "view", self.view, self.view_hash)


def read(payload: object) -> Click | Denial | None:
    """What an interactive payload tells of, or None when it is nothing for us."""
    match payload:
        case {
            "type": "block_actions",
            "container": {
                "type": "message",
                "channel_id": str(channel),
                "message_ts": str(message_ts),
                "is_ephemeral": False,
            },
            "message": {"bot_id": str(bot)},
            "trigger_id": str(trigger),
            "actions": [
                {
                    "type": "button",
                    "action_id": str(action),
                    "action_ts": str(action_ts),
                    "value": text,
                }
            ],
        }:
            who, value = _who(payload), read_value(text)
            if who is None or value is None or action not in _ACTIONS:
                return None
            return Click(
                who=who,
                action=_ACTIONS[action],
                value=value,
                channel=channel,
                message_ts=message_ts,
                bot=bot,
                trigger=trigger,
                action_ts=action_ts,
            )
        case {
            "type": "view_submission",
            "view": {
                "id": str(view),
                "hash": str(view_hash),
                "app_id": str(view_app),
                "callback_id": callback,
                "private_metadata": metadata,
                "state": {"values": dict(entered)},
            },
        } if callback == DENY:
            who, value = _who(payload), read_value(metadata)
            if who is None or value is None:
                return None
            return Denial(
                who=who,
                value=value,
                reason=_reason(entered),
                view=view,
                view_hash=view_hash,
                view_app=view_app,
            )
        case _:
            return None


def _who(payload: object) -> Who | None:
    match payload:
        case {
            "user": {"id": str(user), "team_id": str(home_team)},
            "team": {"id": str(team)},
            "api_app_id": str(app),
            "enterprise": None | {"id": str()} as organisation,
        }:
            enterprise = organisation["id"] if organisation else None
            identity = SlackIdentity(team=team, user=user, enterprise=enterprise, app=app)
            return Who(identity, home_team)
        case _:
            return None


def _reason(entered: dict[str, Any]) -> str:
    match entered.get(REASON_BLOCK):
        case {**fields}:
            field = fields.get(REASON_ACTION)
        case _:
            return ""
    text = field.get("value") if isinstance(field, dict) else None
    return text.strip() if isinstance(text, str) else ""
