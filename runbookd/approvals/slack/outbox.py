"""What is still to be said in Slack, in order, until Slack has taken it.

Several updates of one message become one: only the last says how things stand. It is kept in
memory; after a restart the record says what every message should show.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from runbookd.approvals.slack.calls import CallFailed

_log = structlog.get_logger(__name__)

_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0
_MOST = 1_000

Key = tuple[str, ...]
Send = Callable[[], Awaitable[None]]


class Outbox:
    """Things to send. A send raises :class:`CallFailed` when it did not succeed.

    Args:
        sleep: waits so many seconds.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._waiting: dict[Key, Send] = {}
        self._sleep = sleep
        self._news = asyncio.Event()
        self.problem = ""
        """What could not be sent last, and why; empty once something was sent."""

    def put(self, key: Key, send: Send) -> None:
        """Send this once it is its turn; in place of what waits under the same key."""
        if key not in self._waiting and len(self._waiting) >= _MOST:
            _log.warning("slack.outbox_full", dropped=key[0])
            return
        self._waiting[key] = send
        self._news.set()

    async def run(self) -> None:
        """Send, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.drain()

    async def drain(self) -> None:
        """Send all there is; returns when there is nothing left.

        What will never succeed is dropped and logged. Everything else is tried again, in order.
        """
        wait = _FIRST_WAIT_S
        while self._waiting:
            key = next(iter(self._waiting))
            send = self._waiting[key]
            try:
                await send()
            except CallFailed as failed:
                if failed.kind == "wrong":
                    self.problem = f"not sent: {key[0]}: {failed}"
                    _log.warning("slack.not_sent", what=key[0], error=failed.code)
                else:
                    limited = failed.kind == "limited"
                    await self._sleep(min(failed.retry_after_s if limited else wait, 60))
                    wait = min(wait * 2, _LONGEST_WAIT_S)
                    continue
            except Exception as error:  # noqa: BLE001 - one bad message must not end the daemon
                self.problem = f"not sent: {key[0]}: {type(error).__name__}"
                _log.error("slack.send_failed", what=key[0], error=type(error).__name__)
            else:
                self.problem = ""
            wait = _FIRST_WAIT_S
            # Something newer may have come under the same key meanwhile.
            if self._waiting.get(key) is send:
                del self._waiting[key]
