"""A checkout service whose illness and cure take seconds less than in a drill."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from runbookd.drill.checkout.logs import JsonLog
from runbookd.drill.checkout.service import Checkout
from runbookd.drill.checkout.tuning import Tuning

FAST = Tuning(
    rate=125,
    acquire_timeout=0.16,
    work=0.003,
    database_timeout=6.0,
    reap_interval=0.05,
    suspect_after=0.4,
    slow=0.1,
    window=1.0,
    restart_time=0.1,
)
"""Five times as fast as a drill; a leak timeout of one second does what five do there."""


def is_well(service: Checkout) -> bool:
    requests, p95, errors = service.measured.recent()
    return requests >= 20 and p95 < 0.1 and errors < 0.01


async def eventually(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def running(tmp_path):
    @asynccontextmanager
    async def run(tuning: Tuning = FAST) -> AsyncIterator[Checkout]:
        log = JsonLog(tmp_path / "checkout.log")
        service = Checkout(log, tuning)
        traffic = asyncio.create_task(service.run())
        try:
            yield service
        finally:
            traffic.cancel()
            await asyncio.gather(traffic, return_exceptions=True)
            log.close()

    return run
