"""What members do, and the payloads that the app gets of it.

https://docs.slack.dev/reference/interaction-payloads
"""

import time
from typing import Any

from runbookd.drill.slack.answers import SlackError
from runbookd.drill.slack.content import elements_of
from runbookd.drill.slack.modals import complaints_about_view, filled_in
from runbookd.drill.slack.people import APP, TEAM, TEAM_DOMAIN
from runbookd.drill.slack.sockets import Envelope, Sockets
from runbookd.drill.slack.views import close_views, replace_view, shown, stack_of
from runbookd.drill.slack.workspace import Message, View, Workspace

_NOT_REACHED = "We had some trouble connecting. Try again?"
_VERIFICATION_TOKEN = "deprecated-verification-token"  # noqa: S105 - Slack's own leftover


class Members:
    """The hands of the workspace's members.

    Args:
        workspace: the state.
        sockets: the way to the app.
        base: the stand-in's own address, without a slash at the end.
    """

    def __init__(self, workspace: Workspace, sockets: Sockets, base: str) -> None:
        self._workspace = workspace
        self._sockets = sockets
        self._base = base

    async def press(self, user: str, message_ts: str, button: str) -> dict[str, Any]:
        """Press a button of a message as it is now, named by its action id or its label.

        Returns:
            ``ok`` when the app acknowledged in time, else the ``error`` that the person sees.

        Raises:
            SlackError: ``message_not_found``, ``no_such_button``, ``user_not_found``.
        """
        message = self._workspace.any_message(message_ts)
        if message is None or message.shown_to not in (None, user):
            raise SlackError("message_not_found")
        block, element = _find(message.body.get("blocks", []), button)
        payload = {
            **self._common("block_actions", user),
            **self._where(user, message),
            "state": {"values": {}},
            "actions": [_action(block, element)],
        }
        return _outcome(await self._sockets.deliver("interactive", payload))

    async def press_in_view(self, user: str, view_id: str, button: str) -> dict[str, Any]:
        """Press a button inside a modal. As :meth:`press`."""
        view = self._top_view(user, view_id)
        block, element = _find(view.body["blocks"], button)
        payload = {
            **self._common("block_actions", user),
            "container": {"type": "view", "view_id": view_id},
            "view": view.body,
            "actions": [_action(block, element)],
        }
        return _outcome(await self._sockets.deliver("interactive", payload))

    async def submit(
        self, user: str, view_id: str, values: dict[str, dict[str, Any]]
    ) -> dict[str, Any]:
        """Submit a modal with what was entered: block id -> action id -> value.

        Returns:
            ``ok`` when the app took it, else ``errors`` by block, or the ``error`` that was seen.

        Raises:
            SlackError: ``view_not_found`` when it is not on top of that person's screen.
        """
        view = self._top_view(user, view_id)
        if view.body["submit"] is None:
            raise SlackError("no_such_button")
        state, errors = filled_in(view.body["blocks"], values)
        if errors:
            return self._show_errors(view, errors)
        view.body = {**view.body, "state": {"values": state}}
        payload = {
            **self._common("view_submission", user),
            "view": view.body,
            "response_urls": [],
        }
        envelope = await self._sockets.deliver("interactive", payload, accepts_response=True)
        if envelope.state != "acked":
            self._show_errors(view, {"": _NOT_REACHED})
            return _outcome(envelope)
        return self._answered(view, envelope)

    async def close(self, user: str, view_id: str) -> dict[str, Any]:
        """Close a modal without submitting it; the app hears of it if it wished to."""
        view = self._top_view(user, view_id)
        closing = stack_of(self._workspace, user) if view.body["clear_on_close"] else [view]
        close_views(self._workspace, closing)
        if not view.body["notify_on_close"]:
            return {"ok": True}
        payload = {
            **self._common("view_closed", user),
            "view": view.body,
            "is_cleared": len(closing) > 1,
        }
        return _outcome(await self._sockets.deliver("interactive", payload))

    def say(self, user: str, channel: str, text: str, thread_ts: str | None) -> str:
        """A member writes something; the message's time stamp."""
        if user not in self._workspace.directory.members:
            raise SlackError("user_not_found")
        message = self._workspace.post(channel, text, [], thread_ts, user=user)
        for name in ("bot_id", "app_id"):
            del message.body[name]
        return message.ts

    def _answered(self, view: View, envelope: Envelope) -> dict[str, Any]:
        """What the app's acknowledgement does to the modal."""
        match envelope.response:
            case None:
                close_views(self._workspace, [view])
            case {"response_action": "clear"}:
                close_views(self._workspace, stack_of(self._workspace, view.user))
            case {"response_action": "errors", "errors": dict(errors)} if errors and set(
                errors
            ) <= _inputs(view):
                return self._show_errors(view, errors)
            case {"response_action": "update", "view": body} if not complaints_about_view(body):
                replace_view(self._workspace, view, body)
            case {"response_action": "push", "view": body} if not complaints_about_view(body):
                shown(self._workspace, view.user, body, view)
            case _:
                self._workspace.violation("a submission was answered with an invalid payload")
                return self._show_errors(view, {"": _NOT_REACHED})
        return {"ok": True, "envelope_id": envelope.id}

    def _show_errors(self, view: View, errors: dict[str, str]) -> dict[str, Any]:
        view.errors = errors
        self._workspace.changed()
        return {"ok": False, "error": "errors", "errors": errors}

    def _top_view(self, user: str, view_id: str) -> View:
        stack = stack_of(self._workspace, user)
        if not stack or stack[-1].body["id"] != view_id:
            raise SlackError("view_not_found")
        return stack[-1]

    def _common(self, kind: str, user: str) -> dict[str, Any]:
        member = self._workspace.directory.members.get(user)
        if member is None:
            raise SlackError("user_not_found")
        return {
            "type": kind,
            "user": {
                "id": member.id,
                "username": member.name,
                "name": member.name,
                "team_id": member.team_id,
            },
            "api_app_id": APP,
            "token": _VERIFICATION_TOKEN,
            "trigger_id": self._workspace.new_trigger(user),
            "team": {"id": TEAM, "domain": TEAM_DOMAIN},
            "enterprise": None,
            "is_enterprise_install": False,
        }

    def _where(self, user: str, message: Message) -> dict[str, Any]:
        channel = self._workspace.directory.channels[message.channel]
        answer = self._workspace.new_response_url(user, message)
        container = {
            "type": "message",
            "message_ts": message.ts,
            "channel_id": message.channel,
            "is_ephemeral": message.shown_to is not None,
        }
        if "thread_ts" in message.body:
            container["thread_ts"] = message.body["thread_ts"]
        where: dict[str, Any] = {
            "container": container,
            "channel": {"id": channel.id, "name": channel.name},
            "response_url": f"{self._base}/actions/{TEAM}/{answer}",
        }
        # Slack leaves the message out of an interaction with an ephemeral one.
        if message.shown_to is None:
            where["message"] = message.body
        return where


def _find(blocks: list[dict[str, Any]], button: str) -> tuple[dict[str, Any], dict[str, Any]]:
    for block in blocks:
        for element in elements_of(block):
            label = element.get("text", {}).get("text")
            if element["type"] == "button" and button in (element["action_id"], label):
                return block, element
    raise SlackError("no_such_button")


def _action(block: dict[str, Any], element: dict[str, Any]) -> dict[str, Any]:
    kept = ("action_id", "text", "value", "style", "confirm", "url", "type")
    return {
        **{name: element[name] for name in kept if name in element},
        "block_id": block["block_id"],
        "action_ts": f"{time.time():.6f}",
    }


def _inputs(view: View) -> set[str]:
    return {block["block_id"] for block in view.body["blocks"] if block["type"] == "input"}


def _outcome(envelope: Envelope) -> dict[str, Any]:
    done = envelope.state == "acked"
    error = {} if done else {"error": envelope.state}
    return {"ok": done, "envelope_id": envelope.id, **error}
