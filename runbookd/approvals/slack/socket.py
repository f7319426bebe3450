"""One Socket Mode connection: from its single-use address to its end.

https://docs.slack.dev/apis/events-api/using-socket-mode. slack_sdk's own clients start tasks that
nobody waits for, hand a repeated envelope on twice and log addresses with their tickets; this one
is a single coroutine. Whether the connection lives is told by the pongs to our own pings.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from runbookd.approvals.slack.calls import on_loopback, quiet_logger

_MAX_BYTES = 4 * 2**20

Ended = Literal["refresh", "link_disabled", "too_many_websockets", "unwanted", "silent", "closed"]


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of a connection, in seconds.

    ``ping`` between two pings, ``silent`` until no answer means that nobody is there, ``first``
    and ``longest`` bound the wait before a new attempt, ``refused`` is the wait after Slack has
    refused the app itself.
    """

    ping: float = 5
    silent: float = 10
    first: float = 0.5
    longest: float = 30
    refused: float = 60


@dataclass(frozen=True, slots=True)
class Hello:
    """Slack's greeting: whose socket it is, and how many the app has open, this one included."""

    app: str
    connections: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """Something that Slack wants acknowledged. What is in it nobody has checked yet."""

    id: str
    kind: object
    payload: object


class NotConnected(Exception):
    """No connection came about. The text never holds the address."""


class Acknowledge:
    """Tells Slack that an envelope was taken care of. To be called once."""

    def __init__(self, websocket: ClientConnection, envelope: str) -> None:
        self._websocket = websocket
        self._envelope = envelope

    async def __call__(self, payload: dict[str, Any] | None = None) -> None:
        """Send it. A connection that is gone is no error: then Slack tells the person.

        Args:
            payload: what a modal shall do now; only for a submission.
        """
        answer: dict[str, Any] = {"envelope_id": self._envelope}
        if payload is not None:
            answer["payload"] = payload
        try:
            await self._websocket.send(json.dumps(answer))
        except ConnectionClosed:
            return


Take = Callable[[Envelope, Acknowledge], None]


async def serve(
    url: str,
    *,
    greeted: Callable[[Hello], bool],
    heard: Callable[[], None],
    take: Take,
    pace: Pace,
) -> Ended:
    """Serve one connection until it ends; says how it ended.

    Args:
        url: from ``apps.connections.open``; holds a ticket, and is used once.
        greeted: is called with Slack's greeting, before which there is no connection; False when
            this is not a socket that we want.
        heard: is called whenever Slack gives a sign of life.
        take: is called with every envelope; must not block.
        pace: how often to ping, and when to give up.

    Raises:
        NotConnected: the address was refused or nobody answers.
    """
    if urlsplit(url).scheme != "wss" and not on_loopback(url):
        raise NotConnected("the address is not encrypted")
    try:
        websocket = await connect(
            url,
            logger=quiet_logger(),
            open_timeout=pace.silent,
            close_timeout=1,
            ping_interval=None,
            max_size=_MAX_BYTES,
            proxy=None if on_loopback(url) else True,
        )
    except InvalidStatus as error:
        raise NotConnected(f"the ticket was refused ({error.response.status_code})") from None
    except (WebSocketException, OSError, TimeoutError) as error:
        raise NotConnected(type(error).__name__) from None
    silent = asyncio.Event()
    async with websocket, asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(_beat(websocket, heard, silent, pace))
        try:
            async with asyncio.timeout(pace.silent) as patience:
                async for text in websocket:
                    heard()
                    match _message(text):
                        case {"type": "hello", **rest}:
                            patience.reschedule(None)
                            if not greeted(_hello(rest)):
                                return "unwanted"
                        case {"type": "disconnect", **rest}:
                            return _ended(rest)
                        case {"envelope_id": str(name), **rest}:
                            envelope = Envelope(name, rest.get("type"), rest.get("payload"))
                            take(envelope, Acknowledge(websocket, name))
                        case _:
                            pass
        except TimeoutError:
            silent.set()
        except ConnectionClosed:
            pass
        finally:
            beating.cancel()
    return "silent" if silent.is_set() else "closed"


async def _beat(
    websocket: ClientConnection, heard: Callable[[], None], silent: asyncio.Event, pace: Pace
) -> None:
    """Ping until the connection ends; close it once a pong stays out."""
    while True:
        await asyncio.sleep(pace.ping)
        try:
            pong = await websocket.ping()
            async with asyncio.timeout(pace.silent):
                await pong
        except TimeoutError:
            silent.set()
            await websocket.close()
            return
        except ConnectionClosed:
            return
        heard()


def _message(text: str | bytes) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _hello(message: dict[str, Any]) -> Hello:
    match message:
        case {"connection_info": {"app_id": str(app)}}:
            pass
        case _:
            app = ""
    count = message.get("num_connections")
    return Hello(app, count if isinstance(count, int) else 1)


def _ended(message: dict[str, Any]) -> Ended:
    match message.get("reason"):
        case "link_disabled":
            return "link_disabled"
        case "too_many_websockets":
            return "too_many_websockets"
        case _:
            return "refresh"
