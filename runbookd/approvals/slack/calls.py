"""Calling Slack's Web API: what can go wrong, sorted by what to do about it; nothing secret logged.

https://docs.slack.dev/apis/web-api/ and /apis/web-api/rate-limits
"""

import asyncio
import logging
from collections.abc import Awaitable
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

TIMEOUT_S = 10
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}

_FATAL = {
    "account_inactive": "the app was removed from the workspace; install it again",
    "access_denied": "the workspace does not let this app in; ask an admin",
    "ekm_access_denied": "an admin has suspended access",
    "forbidden_team": "the workspace does not allow this app",
    "invalid_auth": "a token is wrong; set the right one with `runbookd secrets set`",
    "not_allowed_token_type": "the two tokens are of the wrong kind or swapped; "
    "the bot token starts with xoxb-, the app token with xapp-",
    "not_authed": "a token is missing; put it into the keyring with `runbookd secrets set`",
    "org_login_required": "the workspace is being moved; wait",
    "team_access_not_granted": "an admin must let the app into this workspace",
    "token_expired": "a token has expired; set a new one with `runbookd secrets set`",
    "token_revoked": "a token was revoked; set a new one with `runbookd secrets set`",
}
_WRONG = {
    "channel_not_found": "set slack.channel to the id of a channel that the app is in",
    "is_archived": "the channel is archived; set slack.channel to another",
    "missing_scope": "install the app again with the scopes in docs/quickstart.md",
    "not_in_channel": "invite the app to the channel",
}
_TRANSIENT = {"fatal_error", "internal_error", "request_timeout", "service_unavailable"}

Kind = Literal["refused", "limited", "wrong", "away"]


class CallFailed(Exception):
    """A call did not succeed. Its text never holds a token, an address or an answer's body.

    Args:
        kind: ``refused`` (until somebody changes the app or its tokens), ``limited`` (try again
            after ``retry_after_s``), ``wrong`` (this call will not succeed), ``away`` (try later).
        code: Slack's name for the error, or a word of ours.
        advice: what to do, where we know it.
        retry_after_s: seconds to wait, for ``limited``.
    """

    def __init__(self, kind: Kind, code: str, advice: str = "", retry_after_s: float = 0) -> None:
        super().__init__(f"{code}: {advice}" if advice else code)
        self.kind = kind
        self.code = code
        self.retry_after_s = retry_after_s


def quiet_logger() -> logging.Logger:
    """A logger that says nothing, for libraries that log addresses with tickets and bodies."""
    logger = logging.Logger("quiet", logging.CRITICAL + 1)
    logger.disabled = True
    return logger


def web_client(base_url: str, token: str) -> AsyncWebClient:
    """A client of the Web API that logs and retries nothing by itself."""
    client = AsyncWebClient(
        token=token,
        base_url=base_url,
        timeout=TIMEOUT_S,
        logger=quiet_logger(),
        retry_handlers=[],
    )
    if on_loopback(base_url):
        client.proxy = None
    return client


def on_loopback(url: str) -> bool:
    """Whether a URL leads to this machine."""
    return urlsplit(url).hostname in _LOOPBACK


async def answer_of(call: Awaitable[AsyncSlackResponse]) -> dict[str, Any]:
    """The answer of a call to the Web API.

    Raises:
        CallFailed: it did not succeed.
    """
    try:
        async with asyncio.timeout(TIMEOUT_S):
            response = await call
    except SlackApiError as error:
        raise _sorted_out(error) from None
    except TimeoutError:
        raise CallFailed("away", "no_answer") from None
    except (SlackClientError, aiohttp.ClientError, OSError) as error:
        raise CallFailed("away", type(error).__name__) from None
    data = response.data
    if not isinstance(data, dict):
        raise CallFailed("away", "no_json")
    return data


def _sorted_out(error: SlackApiError) -> CallFailed:
    response = error.response
    if not isinstance(response, AsyncSlackResponse) or not isinstance(response.data, dict):
        return CallFailed("away", "no_json")
    code = str(response.data.get("error", "no_json"))
    if response.status_code == 429 or code == "ratelimited":
        return CallFailed("limited", "ratelimited", retry_after_s=_retry_after(response.headers))
    if code in _FATAL:
        return CallFailed("refused", code, _FATAL[code])
    if response.status_code >= 500 or code in _TRANSIENT or code == "no_json":
        return CallFailed("away", code)
    return CallFailed("wrong", code, _WRONG.get(code, ""))


def _retry_after(headers: Any) -> float:
    for name, value in headers.items():
        if name.lower() == "retry-after" and str(value).isdecimal():
            return float(value)
    return 1.0
