"""Which methods there are, who may call them, and how a call goes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from runbookd.drill.slack import chat, files, lookups, views
from runbookd.drill.slack.answers import Arguments, RateLimited, SlackError
from runbookd.drill.slack.limiter import Limiter
from runbookd.drill.slack.people import APP, APP_NAME
from runbookd.drill.slack.workspace import Workspace

Handler = Callable[[Arguments], dict[str, Any]]


@dataclass(frozen=True)
class Method:
    """A method: what it does, its rate limit tier, the scope it needs, and whose token."""

    handler: Handler
    tier: int | None
    scope: str | None = None
    caller: Literal["bot", "app"] = "bot"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer of the Web API."""

    body: dict[str, Any]
    status: int = 200
    retry_after: int | None = None


class WebApi:
    """``/api/METHOD`` of the stand-in.

    Args:
        workspace: the state.
        limiter: the rate limits.
        base: the stand-in's own address, without a slash at the end.
        open_connection: makes a single-use Socket Mode address.
    """

    def __init__(
        self,
        workspace: Workspace,
        limiter: Limiter,
        base: str,
        open_connection: Callable[[], str],
    ) -> None:
        self._workspace = workspace
        self._limiter = limiter
        self._base = base
        self._open_connection = open_connection
        self._methods = self._table()

    def _table(self) -> dict[str, Method]:
        space, limiter, base = self._workspace, self._limiter, self._base
        return {
            # Slack calls this one tier 1, one a minute, but lets a client reconnect at once.
            "apps.connections.open": Method(self._connect, 2, caller="app"),
            "auth.test": Method(lambda a: lookups.auth_test(base), None),
            "bots.info": Method(lookups.bot_info, 3, "users:read"),
            "chat.getPermalink": Method(lambda a: chat.permalink(space, a, base), None),
            "chat.postEphemeral": Method(
                lambda a: chat.post_ephemeral(space, limiter, a), 4, "chat:write"
            ),
            "chat.postMessage": Method(
                lambda a: chat.post_message(space, limiter, a), None, "chat:write"
            ),
            "chat.update": Method(lambda a: chat.update(space, a), 3, "chat:write"),
            "conversations.history": Method(
                lambda a: lookups.history(space, a), 3, "channels:history"
            ),
            "conversations.info": Method(
                lambda a: lookups.channel_info(space, a), 3, "channels:read"
            ),
            "conversations.replies": Method(
                lambda a: lookups.replies(space, a), 3, "channels:history"
            ),
            "files.completeUploadExternal": Method(
                lambda a: files.complete(space, limiter, a), 4, "files:write"
            ),
            "files.getUploadURLExternal": Method(
                lambda a: files.upload_address(space, a, base), 4, "files:write"
            ),
            "files.info": Method(lambda a: files.info(space, a), 4, "files:read"),
            "usergroups.list": Method(lambda a: lookups.groups(space), 2, "usergroups:read"),
            "usergroups.users.list": Method(
                lambda a: lookups.group_users(space, a), 2, "usergroups:read"
            ),
            "users.info": Method(lambda a: lookups.user_info(space, a), 4, "users:read"),
            "views.open": Method(lambda a: views.open_view(space, a), 4),
            "views.push": Method(lambda a: views.push_view(space, a), 4),
            "views.update": Method(lambda a: views.update_view(space, a), 4),
        }

    def call(self, name: str, token: str | None, values: dict[str, Any]) -> Answer:
        """Carry out one call and note it, without its token, among the calls."""
        try:
            answer = Answer(self._carry_out(name, token, values))
        except SlackError as error:
            answer = Answer(error.answer())
        except RateLimited as limited:
            answer = too_many(limited.retry_after)
        self.note(name, values, answer.body.get("error"))
        return answer

    def note(self, name: str, values: dict[str, Any], error: str | None) -> None:
        """Add a call to the log of calls."""
        self._workspace.calls.append({"method": name, "arguments": values, "error": error})
        self._workspace.changed()

    def _carry_out(self, name: str, token: str | None, values: dict[str, Any]) -> dict[str, Any]:
        method = self._methods.get(name)
        if method is None:
            raise SlackError("unknown_method", req_method=name)
        tokens = self._workspace.tokens
        if not token:
            raise SlackError("not_authed")
        if token not in (tokens.bot, tokens.app):
            raise SlackError("invalid_auth")
        if name == "auth.test" and token == tokens.app:
            return {"ok": True, "app_name": APP_NAME, "app_id": APP}
        if token != (tokens.app if method.caller == "app" else tokens.bot):
            raise SlackError("not_allowed_token_type")
        if method.scope and method.scope not in self._workspace.scopes:
            provided = ",".join(sorted(self._workspace.scopes))
            raise SlackError("missing_scope", needed=method.scope, provided=provided)
        if method.tier is not None:
            self._limiter.call(name, method.tier)
        return method.handler(Arguments(values))

    def _connect(self, arguments: Arguments) -> dict[str, Any]:
        return {"ok": True, "url": self._open_connection()}


def too_many(retry_after: int) -> Answer:
    """The answer to a call too many."""
    return Answer({"ok": False, "error": "ratelimited"}, 429, retry_after)
