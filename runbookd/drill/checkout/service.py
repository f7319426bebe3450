"""The checkout service itself: orders, a pool that one code path leaks, traffic, remedies."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import count

from runbookd.drill.checkout.logs import JsonLog
from runbookd.drill.checkout.metrics import Measurements, family
from runbookd.drill.checkout.pool import Connection, ConnectionReaped, Pool, PoolTimeout
from runbookd.drill.checkout.tuning import LEAKING_PATH, ORDER_PATH, READ_PATH, Tuning

VERSION = "2.14.1"
_CODES: dict[type[Exception], int] = {PoolTimeout: 503, ConnectionReaped: 500}
_EXPIRED_COUPONS = ("SPRING-2019",)
_ORDERS_KEPT = 1000


@dataclass(frozen=True)
class Order:
    """An order that was placed."""

    id: str
    item: str
    coupon: str | None


class Failed(Exception):
    """A request that could not be served. ``code`` is its HTTP status."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Checkout:
    """One instance of the service. :meth:`run` gives it traffic; without it nothing happens."""

    def __init__(self, log: JsonLog, tuning: Tuning | None = None) -> None:
        self.tuning = tuning or Tuning()
        self.log = log
        self.reaper = False
        self.leak_timeout = self.tuning.default_leak_timeout
        self._ids = count(1001)
        self._begin(self.tuning.size)
        step = self.tuning.database_timeout / self.tuning.size
        self.pool.age(LEAKING_PATH, [step * index for index in range(self.tuning.size)])
        self.log.write("info", "service started", version=VERSION, pool_max=self.pool.size)

    def _begin(self, size: int) -> None:
        self.pool = Pool(size, time.monotonic)
        self.measured = Measurements(self.tuning.window, time.monotonic)
        self.started = time.time()
        self.ready_at = time.monotonic()
        self._orders: dict[str, Order] = {}

    @property
    def ready(self) -> bool:
        """False for the moment that a restart takes."""
        return time.monotonic() >= self.ready_at

    async def run(self) -> None:
        """Serve its own customers, at a fixed rate, and look after the pool, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_after_pool())
            due = time.monotonic()
            for number in count():
                group.create_task(self._customer(number))
                due += 1 / self.tuning.rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def place_order(self, item: str, coupon: str | None = None) -> Order:
        """Place an order; a coupon that is no good any more is left out.

        Raises:
            Failed: 503 when no connection came free in time, 500 when it was reclaimed in use.
        """
        with self._answering(ORDER_PATH if coupon is None else LEAKING_PATH, 201):
            if coupon is not None:
                await self._apply_coupon(coupon)
            async with self._connection(ORDER_PATH):
                order = Order(f"o-{next(self._ids)}", item, coupon)
                self._orders[order.id] = order
                if len(self._orders) > _ORDERS_KEPT:
                    del self._orders[next(iter(self._orders))]
            return order

    async def read_order(self, order_id: str) -> Order:
        """Look an order up.

        Raises:
            Failed: 404 when there is none, else as :meth:`place_order`.
        """
        with self._answering(READ_PATH, 200):
            async with self._connection(READ_PATH):
                if order_id not in self._orders:
                    raise Failed(404, f"no order {order_id}")
                return self._orders[order_id]

    def set_reaper(self, on: bool, leak_timeout: int | None = None) -> None:
        """Switch the reaper; connections held longer than ``leak_timeout`` s are reclaimed."""
        self.reaper = on
        if leak_timeout is not None:
            self.leak_timeout = leak_timeout
        self.log.write("warning", "reaper switched", on=on, leak_timeout_s=self.leak_timeout)

    def reap(self) -> int:
        """Reclaim once what was held longer than the leak timeout; how many that were."""
        reaped = self.pool.reap(self.leak_timeout)
        self.log.write("warning", "connections reaped", count=reaped, by="admin")
        return reaped

    def resize(self, size: int) -> None:
        """Change how many connections the pool may hold."""
        self.pool.resize(size)
        self.log.write("warning", "pool resized", pool_max=size)

    def restart(self) -> None:
        """Begin anew with an empty pool and empty counters, as a new process would."""
        self.log.write("warning", "service restarting", by="admin")
        self._begin(self.pool.size)
        self.ready_at = time.monotonic() + self.tuning.restart_time

    def metrics_lines(self) -> Iterable[str]:
        """All metrics as exposition lines."""
        yield from self.measured.lines()
        yield from family("checkout_pool_connections", "gauge", "Connections by state.")
        for state, value in (
            ("in_use", self.pool.in_use),
            ("idle", self.pool.idle),
            ("max", self.pool.size),
        ):
            yield f'checkout_pool_connections{{state="{state}"}} {value}'
        for name, text, number in (
            ("checkout_pool_waiters", "Requests in line for a connection.", self.pool.waiters),
            ("checkout_config_reaper_enabled", "1 when the reaper is on.", int(self.reaper)),
            ("checkout_config_leak_timeout_seconds", "The reaper's limit.", self.leak_timeout),
        ):
            yield from family(name, "gauge", text)
            yield f"{name} {number}"
        yield from family("process_start_time_seconds", "gauge", "Start, in Unix time.")
        yield f"process_start_time_seconds {self.started:.3f}"

    async def _customer(self, number: int) -> None:
        with suppress(Failed):
            if number % self.tuning.leak_every == 3:
                await self.place_order("espresso machine", _EXPIRED_COUPONS[0])
            elif number % 2:
                await self.place_order("coffee beans")
            else:
                await self.read_order(next(reversed(self._orders), "none"))

    async def _look_after_pool(self) -> None:
        while True:
            for connection in self.pool.held_longer_than(self.tuning.suspect_after):
                if not connection.suspect:
                    connection.suspect = True
                    self.measured.leaked_total += 1
            ended = self.pool.reap(self.tuning.database_timeout)
            if ended:
                self.log.write("warning", "database ended idle transactions", count=ended)
            if self.reaper:
                reaped = self.pool.reap(self.leak_timeout)
                if reaped:
                    self.log.write("info", "connections reaped", count=reaped, by="reaper")
            await asyncio.sleep(self.tuning.reap_interval)

    async def _apply_coupon(self, coupon: str) -> None:
        connection = await self._acquire(LEAKING_PATH)
        await asyncio.sleep(self.tuning.work)
        connection.use()
        if coupon in _EXPIRED_COUPONS:
            return  # The illness: this way out forgets to give the connection back.
        self.pool.release(connection)

    async def _acquire(self, path: str) -> Connection:
        begun = time.monotonic()
        try:
            return await self.pool.acquire(path, self.tuning.acquire_timeout)
        finally:
            self.measured.pool_wait.observe(time.monotonic() - begun)

    @asynccontextmanager
    async def _connection(self, path: str) -> AsyncIterator[None]:
        pool = self.pool
        connection = await self._acquire(path)
        try:
            await asyncio.sleep(self.tuning.work)
            connection.use()
            yield
        finally:
            pool.release(connection)

    @contextmanager
    def _answering(self, path: str, code: int) -> Iterator[None]:
        """Measure and log one request; ``code`` is its status if nothing goes wrong."""
        measured, begun, reason = self.measured, time.monotonic(), ""
        try:
            if not self.ready:
                raise Failed(503, "the service is starting")
            yield
        except (Failed, PoolTimeout, ConnectionReaped) as error:
            code = error.code if isinstance(error, Failed) else _CODES[type(error)]
            reason = str(error)
            raise Failed(code, reason) from None
        finally:
            seconds = time.monotonic() - begun
            measured.request(code, seconds)
            if code >= 500 or seconds > self.tuning.slow:
                self.log.write(
                    "error" if code >= 500 else "warning",
                    "request failed" if code >= 500 else "request slow",
                    path=path,
                    code=code,
                    duration_ms=round(seconds * 1000),
                    reason=reason,
                    pool={"in_use": self.pool.in_use, "max": self.pool.size},
                )
