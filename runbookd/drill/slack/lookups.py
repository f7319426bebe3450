"""The methods that only read: who, where, what was said."""

from typing import Any

from runbookd.drill.slack.answers import Arguments, SlackError
from runbookd.drill.slack.chat import known_channel
from runbookd.drill.slack.people import APP, APP_NAME, BOT, BOT_USER, TEAM
from runbookd.drill.slack.workspace import Workspace


def auth_test(base: str) -> dict[str, Any]:
    """``auth.test`` with the bot token."""
    return {
        "ok": True,
        "url": f"{base}/",
        "team": "Drill",
        "user": APP_NAME,
        "team_id": TEAM,
        "user_id": BOT_USER,
        "bot_id": BOT,
        "is_enterprise_install": False,
    }


def user_info(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    """``users.info``."""
    member = workspace.directory.members.get(arguments.needed("user", "user_not_found"))
    if member is None:
        raise SlackError("user_not_found")
    return {"ok": True, "user": member.described()}


def bot_info(arguments: Arguments) -> dict[str, Any]:
    """``bots.info``."""
    if arguments.text("bot") not in (None, BOT):
        raise SlackError("bot_not_found")
    bot = {"id": BOT, "deleted": False, "name": APP_NAME, "app_id": APP, "user_id": BOT_USER}
    return {"ok": True, "bot": bot}


def groups(workspace: Workspace) -> dict[str, Any]:
    """``usergroups.list``."""
    return {
        "ok": True,
        "usergroups": [group.described() for group in workspace.directory.groups.values()],
    }


def group_users(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    """``usergroups.users.list``."""
    group = workspace.directory.groups.get(arguments.needed("usergroup", "no_such_subteam"))
    if group is None:
        raise SlackError("no_such_subteam")
    return {"ok": True, "users": list(group.users)}


def channel_info(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    """``conversations.info``."""
    return {"ok": True, "channel": known_channel(workspace, arguments).described()}


def history(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    """``conversations.history``: newest first, without the replies."""
    channel = _readable(workspace, arguments)
    found = [
        m.body
        for m in reversed(workspace.messages)
        if m.channel == channel and m.shown_to is None and m.body.get("thread_ts", m.ts) == m.ts
    ]
    return _page(found, arguments)


def replies(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    """``conversations.replies``: the message and its replies, oldest first."""
    channel = _readable(workspace, arguments)
    ts = arguments.needed("ts", "thread_not_found")
    found = [
        m.body
        for m in workspace.messages
        if m.channel == channel and m.shown_to is None and ts in (m.ts, m.body.get("thread_ts"))
    ]
    if not found:
        raise SlackError("thread_not_found")
    return _page(found, arguments)


def _readable(workspace: Workspace, arguments: Arguments) -> str:
    channel = known_channel(workspace, arguments)
    if BOT_USER not in channel.members:
        raise SlackError("not_in_channel")
    return channel.id


def _page(found: list[dict[str, Any]], arguments: Arguments) -> dict[str, Any]:
    limit = arguments.text("limit") or "100"
    if not limit.isdecimal() or not 1 <= int(limit) <= 999:
        raise SlackError("invalid_limit")
    oldest = arguments.text("oldest")
    if oldest is not None:
        found = [body for body in found if body["ts"] > oldest]
    return {"ok": True, "messages": found[: int(limit)], "has_more": len(found) > int(limit)}
