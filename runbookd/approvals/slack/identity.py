"""Who somebody is in Slack at this moment. Whatever cannot be found out counts against them."""

import asyncio
from collections.abc import Iterator
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

from runbookd.approvals.channel import ApproverFacts
from runbookd.approvals.slack.calls import CallFailed, answer_of

LOOK_UP_S = 2.0
LOOK_UP_FAILED = "the look-up failed"

_SLACKBOT = "USLACKBOT"
_MARKS = {
    "deleted": "deactivated",
    "is_bot": "a bot",
    "is_workflow_bot": "a bot",
    "is_connector_bot": "a bot",
    "is_restricted": "a guest",
    "is_ultra_restricted": "a guest",
    "is_stranger": "of another workspace",
}


async def look_up(
    web: AsyncWebClient,
    user_id: str,
    team: str,
    usergroups: tuple[str, ...],
    *,
    within_s: float = LOOK_UP_S,
) -> ApproverFacts:
    """What Slack says of a user now, and which of ``usergroups`` they are in.

    Nothing is retried and nothing remembered: a failure, an answer 429 or no answer ``within_s``
    seconds is a problem, and then no group counts.

    Args:
        web: with the bot's token.
        user_id: who; from the interaction itself.
        team: the workspace that the app belongs to.
        usergroups: ids of Slack user groups.
        within_s: for everything together, in seconds.
    """
    user: dict[str, Any] = {}
    member_of: list[str] = []
    try:
        async with asyncio.timeout(within_s), asyncio.TaskGroup() as group:
            info = group.create_task(answer_of(web.users_info(user=user_id)))
            members = {
                name: group.create_task(answer_of(web.usergroups_users_list(usergroup=name)))
                for name in usergroups
            }
        user = info.result().get("user") or {}
        member_of = [n for n, task in members.items() if user_id in task.result().get("users", ())]
    except* (TimeoutError, CallFailed):
        pass
    if user.get("id") != user_id:
        return ApproverFacts(problems=(LOOK_UP_FAILED,))
    return ApproverFacts(
        problems=tuple(dict.fromkeys(_problems(user, team))), usergroups=tuple(member_of)
    )


def _problems(user: dict[str, Any], team: str) -> Iterator[str]:
    """``is_app_user`` is no problem: it says that a person has authorised this app."""
    for mark, problem in _MARKS.items():
        if user.get(mark, False) is not False:
            yield problem
    if user.get("id") == _SLACKBOT:
        yield "a bot"
    if user.get("team_id") != team:
        yield "of another workspace"
