"""The methods that write messages: ``chat.*``, and answers to a ``response_url``."""

from typing import Any

from runbookd.drill.slack import limits
from runbookd.drill.slack.answers import Arguments, SlackError
from runbookd.drill.slack.blocks import complaints_about
from runbookd.drill.slack.content import as_stored, total_text
from runbookd.drill.slack.limiter import Limiter
from runbookd.drill.slack.people import BOT_USER, Channel
from runbookd.drill.slack.workspace import Blocks, Message, Workspace

_NO_FALLBACK = "missing_text_in_message"


def post_message(workspace: Workspace, limiter: Limiter, arguments: Arguments) -> dict[str, Any]:
    """``chat.postMessage``."""
    channel = writable_channel(workspace, arguments)
    text, blocks, warning = _content(workspace, arguments)
    thread_ts = _thread(workspace, channel, arguments)
    limiter.post(channel.id)
    metadata = arguments.structure("metadata", "invalid_metadata_format")
    more = {"metadata": metadata} if metadata else {}
    message = workspace.post(channel.id, text, blocks, thread_ts, **more)
    answer = {"ok": True, "channel": channel.id, "ts": message.ts, "message": message.body}
    return answer | warning


def update(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    """``chat.update``: text alone takes the blocks away, blocks alone leave the text."""
    channel = writable_channel(workspace, arguments)
    message = workspace.message(channel.id, arguments.needed("ts", "message_not_found"))
    if message is None:
        raise SlackError("message_not_found")
    if message.body["user"] != BOT_USER:
        raise SlackError("cant_update_message")
    text, blocks, warning = _content(workspace, arguments)
    _replace(workspace, message, text, blocks)
    answer = {
        "ok": True,
        "channel": channel.id,
        "ts": message.ts,
        "text": message.body["text"],
        "message": message.body,
    }
    return answer | warning


def post_ephemeral(workspace: Workspace, limiter: Limiter, arguments: Arguments) -> dict[str, Any]:
    """``chat.postEphemeral``."""
    channel = writable_channel(workspace, arguments)
    user = arguments.needed("user", "user_not_in_channel")
    if user not in channel.members:
        raise SlackError("user_not_in_channel")
    text, blocks, warning = _content(workspace, arguments)
    thread_ts = _thread(workspace, channel, arguments)
    limiter.post(channel.id)
    message = workspace.post(channel.id, text, blocks, thread_ts, shown_to=user)
    return {"ok": True, "message_ts": message.ts} | warning


def permalink(workspace: Workspace, arguments: Arguments, base: str) -> dict[str, Any]:
    """``chat.getPermalink``; the address leads to the stand-in's own page."""
    channel = known_channel(workspace, arguments)
    message = workspace.message(channel.id, arguments.needed("message_ts", "message_not_found"))
    if message is None:
        raise SlackError("message_not_found")
    address = f"{base}/archives/{channel.id}/p{message.ts.replace('.', '')}"
    return {"ok": True, "channel": channel.id, "permalink": address}


def respond(workspace: Workspace, name: str, body: Any) -> dict[str, Any]:
    """A POST to a ``response_url``.

    https://docs.slack.dev/interactivity/handling-user-interaction#message_responses
    """
    right = workspace.response_urls.get(name)
    if right is None:
        raise SlackError("invalid_url")
    if right.expires <= workspace.now():
        raise SlackError("expired_url")
    if right.uses_left < 1:
        raise SlackError("used_url")
    if not isinstance(body, dict):
        raise SlackError("invalid_payload")
    right.uses_left -= 1
    arguments = Arguments(body)
    if arguments.flag("delete_original"):
        workspace.messages.remove(right.message)
        workspace.changed()
        return {"ok": True}
    text, blocks, _ = _content(workspace, arguments)
    if arguments.flag("replace_original"):
        _replace(workspace, right.message, text, blocks)
    else:
        public = body.get("response_type") == "in_channel"
        workspace.post(
            right.message.channel,
            text,
            blocks,
            arguments.text("thread_ts"),
            shown_to=None if public else right.user,
        )
    return {"ok": True}


def known_channel(workspace: Workspace, arguments: Arguments) -> Channel:
    """The channel that the call names. Raises ``channel_not_found``."""
    name = arguments.text("channel")
    if name is None or name not in workspace.directory.channels:
        raise SlackError("channel_not_found")
    return workspace.directory.channels[name]


def writable_channel(workspace: Workspace, arguments: Arguments) -> Channel:
    """The channel that the call names, if the bot may write there."""
    channel = known_channel(workspace, arguments)
    if channel.archived:
        raise SlackError("is_archived")
    if BOT_USER not in channel.members:
        raise SlackError("not_in_channel")
    return channel


def _content(workspace: Workspace, arguments: Arguments) -> tuple[str, Blocks, dict[str, Any]]:
    blocks = arguments.structure("blocks", "invalid_blocks_format")
    text = arguments.text("text") or ""
    if arguments.values.get("attachments"):
        raise SlackError("invalid_attachments")
    if blocks is not None and not isinstance(blocks, list):
        raise SlackError("invalid_blocks_format")
    complaints = complaints_about(blocks or [])
    if complaints:
        raise SlackError("invalid_blocks", complaints)
    if total_text(blocks or []) > limits.BLOCKS_TOTAL:
        raise SlackError("msg_blocks_too_long")
    if len(text) > limits.MESSAGE_TEXT:
        raise SlackError("msg_too_long")
    if not text and not blocks:
        raise SlackError("no_text")
    warning: dict[str, Any] = {}
    if not text:
        workspace.violation("a message with blocks came without a text for notifications")
        warning = {"warning": _NO_FALLBACK, "response_metadata": {"warnings": [_NO_FALLBACK]}}
    return text, as_stored(blocks or [], lambda: workspace.new_id("")), warning


def _replace(workspace: Workspace, message: Message, text: str, blocks: Blocks) -> None:
    body = {**message.body}
    if text:
        body["text"] = text
    if blocks:
        body["blocks"] = blocks
    else:
        body.pop("blocks", None)
        body["edited"] = {"user": BOT_USER, "ts": workspace.new_ts()}
    message.body = body
    workspace.changed()


def _thread(workspace: Workspace, channel: Channel, arguments: Arguments) -> str | None:
    thread_ts = arguments.text("thread_ts")
    if thread_ts is None:
        return None
    parent = workspace.message(channel.id, thread_ts)
    if parent is None:
        raise SlackError("thread_not_found")
    # A reply to a reply belongs to the thread of its parent.
    first: str = parent.body.get("thread_ts", parent.ts)
    return first
