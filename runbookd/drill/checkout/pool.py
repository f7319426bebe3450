"""A bounded pool of connections, with waiters in order, and a reaper for those held too long."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass


class PoolTimeout(Exception):
    """No connection came free in time."""


class ConnectionReaped(Exception):
    """The connection was reclaimed while its holder still used it."""


@dataclass(eq=False)
class Connection:
    """One connection while it is checked out.

    ``holder`` names the code path that took it; ``since`` is when, in the pool's clock. Whether
    it is lost cannot be known, only suspected from its age.
    """

    holder: str
    since: float
    open: bool = True
    suspect: bool = False

    def use(self) -> None:
        """Touch the connection, as a query would."""
        if not self.open:
            raise ConnectionReaped(f"the connection of {self.holder} was reclaimed")


class Pool:
    """At most ``size`` connections at once; whoever comes later waits in line.

    Args:
        size: how many connections there may be.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, size: int, now: Callable[[], float]) -> None:
        self.size = size
        self._now = now
        self._held: set[Connection] = set()
        self._waiters: deque[tuple[asyncio.Future[Connection], str]] = deque()

    @property
    def in_use(self) -> int:
        """How many connections are checked out."""
        return len(self._held)

    @property
    def idle(self) -> int:
        """How many more could be checked out now."""
        return max(0, self.size - len(self._held))

    @property
    def waiters(self) -> int:
        """How many callers stand in line."""
        return sum(not future.done() for future, _ in self._waiters)

    def held_longer_than(self, seconds: float) -> list[Connection]:
        """The connections that were checked out more than ``seconds`` ago, oldest first."""
        limit = self._now() - seconds
        return sorted((c for c in self._held if c.since < limit), key=lambda c: c.since)

    def age_of(self, connection: Connection) -> float:
        """For how many seconds the connection has been checked out."""
        return self._now() - connection.since

    def holders(self) -> dict[str, int]:
        """How many connections each code path holds, largest first."""
        return dict(Counter(c.holder for c in self._held).most_common())

    async def acquire(self, holder: str, timeout: float) -> Connection:  # noqa: ASYNC109
        """Take a connection, waiting at most ``timeout`` seconds for one.

        Raises:
            PoolTimeout: none came free in time.
        """
        if self.idle and not self._waiters:
            return self._take(holder)
        future: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        entry = (future, holder)
        self._waiters.append(entry)
        try:
            async with asyncio.timeout(timeout):
                return await future
        except BaseException as error:
            # The connection may have been handed over in the very moment of giving up.
            if future.done() and not future.cancelled():
                self.release(future.result())
            elif entry in self._waiters:
                self._waiters.remove(entry)
            if isinstance(error, TimeoutError):
                raise PoolTimeout(f"no connection for {holder} within {timeout} s") from None
            raise

    def release(self, connection: Connection) -> None:
        """Give a connection back. One that was reclaimed meanwhile is gone already."""
        connection.open = False
        self._held.discard(connection)
        self._serve_waiters()

    def reap(self, older_than: float) -> int:
        """Reclaim what was held longer than ``older_than`` seconds; how many that were."""
        stale = self.held_longer_than(older_than)
        for connection in stale:
            self.release(connection)
        return len(stale)

    def resize(self, size: int) -> None:
        """Change the bound. A smaller one is reached as connections come back."""
        self.size = size
        self._serve_waiters()

    def age(self, holder: str, ages: list[float]) -> None:
        """Check out one connection for each age, as if that many seconds ago, and keep it."""
        for seconds in ages:
            self._held.add(Connection(holder, self._now() - seconds))

    def _take(self, holder: str) -> Connection:
        connection = Connection(holder, self._now())
        self._held.add(connection)
        return connection

    def _serve_waiters(self) -> None:
        while self.idle and self._waiters:
            future, holder = self._waiters.popleft()
            if not future.done():
                future.set_result(self._take(holder))
