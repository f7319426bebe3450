"""Everything that the stand-in remembers: messages, views, files, and what was done to it."""

import asyncio
import copy
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from runbookd.drill.slack.content import pings
from runbookd.drill.slack.limits import RESPONSE_URL_S, RESPONSE_URL_USES, TRIGGER_S
from runbookd.drill.slack.people import APP, BOT, BOT_USER, TEAM, Directory

Blocks = list[dict[str, Any]]

SCOPES = (
    "channels:history",
    "channels:read",
    "chat:write",
    "files:read",
    "files:write",
    "usergroups:read",
    "users:read",
)


@dataclass(frozen=True)
class Tokens:
    """The app's two tokens. Random for every run."""

    bot: str = field(default_factory=lambda: f"xoxb-drill-{secrets.token_hex(16)}")
    app: str = field(default_factory=lambda: f"xapp-1-{APP}-{secrets.token_hex(16)}")


@dataclass
class Message:
    """A message; ``shown_to`` is set for one that only a single person sees."""

    channel: str
    ts: str
    body: dict[str, Any]
    shown_to: str | None = None


@dataclass
class View:
    """A modal that is, or was, open on one person's screen."""

    user: str
    body: dict[str, Any]
    open: bool = True
    errors: dict[str, str] = field(default_factory=dict)


@dataclass
class File:
    """A file; it is in the channel once its upload was completed."""

    id: str
    name: str
    title: str
    length: int
    upload: str
    data: bytes | None = None
    shares: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Trigger:
    """The right of an app to open one modal for somebody who has just done something."""

    user: str
    expires: float
    used: bool = False


@dataclass
class ResponseUrl:
    """The right to answer one interaction, a few times, for half an hour."""

    user: str
    message: Message
    expires: float
    uses_left: int = RESPONSE_URL_USES


class Workspace:
    """The state of the stand-in, and a version that grows with every change.

    Args:
        tokens: what the app has to show.
        now: a monotonic clock in seconds, for all that expires.
        wall: seconds since 1970, for the time stamps of messages.
    """

    def __init__(
        self,
        tokens: Tokens,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.tokens = tokens
        self.now = now
        self._wall = wall
        self.directory = Directory()
        self.scopes = set(SCOPES)
        self.messages: list[Message] = []
        self.views: dict[str, View] = {}
        self.files: dict[str, File] = {}
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.violations: list[str] = []
        self.calls: list[dict[str, Any]] = []
        self.version = 0
        self._news = asyncio.Event()
        self._last_ts = 0

    def changed(self) -> None:
        """Say that something is new, to all who wait for it."""
        self.version += 1
        self._news.set()
        self._news = asyncio.Event()

    async def newer_than(self, version: int) -> None:
        """Wait until there is a change after ``version``."""
        while self.version <= version:
            await self._news.wait()

    def violation(self, text: str) -> None:
        """Note that the app did what it should not, although Slack lets it pass."""
        self.violations.append(text)
        self.changed()

    def new_id(self, prefix: str) -> str:
        """An id that looks like one of Slack's."""
        return prefix + secrets.token_hex(5).upper()

    def new_ts(self) -> str:
        """A message's time stamp, which is also its name: unique, and growing."""
        self._last_ts = max(self._last_ts + 1, int(self._wall() * 1_000_000))
        return f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"

    def post(
        self,
        channel: str,
        text: str,
        blocks: Blocks,
        thread_ts: str | None = None,
        shown_to: str | None = None,
        **more: Any,
    ) -> Message:
        """Put a message of the bot in a channel."""
        ts = self.new_ts()
        body: dict[str, Any] = {
            "type": "message",
            "user": BOT_USER,
            "bot_id": BOT,
            "app_id": APP,
            "team": TEAM,
            "text": text,
            "ts": ts,
            **more,
        }
        if blocks:
            body["blocks"] = blocks
        if thread_ts:
            body["thread_ts"] = thread_ts
        message = Message(channel, ts, body, shown_to)
        self.messages.append(message)
        if thread_ts and shown_to is None:
            self._count_reply(channel, thread_ts, ts)
        self.changed()
        return message

    def _count_reply(self, channel: str, thread_ts: str, ts: str) -> None:
        parent = self.message(channel, thread_ts)
        if parent is None:
            return
        count = parent.body.get("reply_count", 0) + 1
        parent.body |= {
            "thread_ts": thread_ts,
            "reply_count": count,
            "reply_users_count": 1,
            "reply_users": [BOT_USER],
            "latest_reply": ts,
        }

    def message(self, channel: str, ts: str) -> Message | None:
        """The message of that name that everybody can see."""
        return next(
            (m for m in self.messages if (m.channel, m.ts, m.shown_to) == (channel, ts, None)),
            None,
        )

    def any_message(self, ts: str) -> Message | None:
        """The message of that name, seen by all or by one."""
        return next((message for message in self.messages if message.ts == ts), None)

    def new_trigger(self, user: str) -> str:
        """A trigger id for what ``user`` has just done."""
        name = f"{secrets.randbelow(10**13)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        self.triggers[name] = Trigger(user, self.now() + TRIGGER_S)
        return name

    def new_response_url(self, user: str, message: Message) -> str:
        """The last part of an address that answers an interaction with ``message``."""
        name = secrets.token_hex(16)
        self.response_urls[name] = ResponseUrl(user, message, self.now() + RESPONSE_URL_S)
        return name

    def expire_triggers(self) -> None:
        """Let all trigger ids be too old."""
        for trigger in self.triggers.values():
            trigger.expires = self.now()

    def snapshot(self) -> dict[str, Any]:
        """Everything, for the page and for tests. Never a token."""
        return copy.deepcopy(
            {
                "version": self.version,
                "members": {
                    member.id: asdict(member) for member in self.directory.members.values()
                },
                "groups": {group.id: list(group.users) for group in self.directory.groups.values()},
                "channels": {
                    channel.id: channel.described() for channel in self.directory.channels.values()
                },
                "messages": [
                    {
                        "channel": m.channel,
                        "shown_to": m.shown_to,
                        "pings": pings(m.body["text"], m.body.get("blocks", [])),
                        **m.body,
                    }
                    for m in self.messages
                ],
                "views": [
                    {"user": v.user, "open": v.open, "errors": v.errors, "view": v.body}
                    for v in self.views.values()
                ],
                "files": [
                    {
                        "id": f.id,
                        "name": f.name,
                        "title": f.title,
                        "size": f.length,
                        "content": None if f.data is None else f.data.decode("utf-8", "replace"),
                        "shares": f.shares,
                    }
                    for f in self.files.values()
                ],
                "violations": self.violations,
                "calls": self.calls,
            }
        )
