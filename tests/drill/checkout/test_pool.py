import asyncio

import pytest

from runbookd.drill.checkout.pool import ConnectionReaped, Pool, PoolTimeout


class Clock:
    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def pool(clock):
    return Pool(2, clock)


async def test_no_more_connections_are_given_out_than_the_pool_holds(pool):
    await pool.acquire("a", 1)
    await pool.acquire("b", 1)
    assert (pool.in_use, pool.idle) == (2, 0)
    with pytest.raises(PoolTimeout, match="no connection for c"):
        await pool.acquire("c", 0.01)
    assert pool.waiters == 0


async def test_a_returned_connection_goes_to_whoever_waited_longest(pool):
    first = await pool.acquire("a", 1)
    await pool.acquire("b", 1)
    order = []

    async def wait(name):
        await pool.acquire(name, 1)
        order.append(name)

    waiting = [asyncio.create_task(wait("early")), asyncio.create_task(wait("late"))]
    await asyncio.sleep(0)
    assert pool.waiters == 2
    pool.release(first)
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert order == ["early"]
    pool.resize(3)
    await asyncio.gather(*waiting)
    assert order == ["early", "late"]


async def test_a_newcomer_does_not_overtake_those_who_wait(pool):
    held = await pool.acquire("a", 1)
    await pool.acquire("b", 1)
    waiting = asyncio.create_task(pool.acquire("early", 1))
    await asyncio.sleep(0)
    pool.release(held)
    with pytest.raises(PoolTimeout):
        await pool.acquire("newcomer", 0.01)
    assert (await waiting).holder == "early"


async def test_reaping_takes_only_what_was_held_too_long_and_tells_its_holder(pool, clock):
    old = await pool.acquire("old", 1)
    clock.seconds += 6
    young = await pool.acquire("young", 1)
    assert pool.reap(5) == 1
    young.use()
    with pytest.raises(ConnectionReaped, match="old"):
        old.use()
    assert pool.holders() == {"young": 1}


async def test_giving_back_a_reaped_connection_frees_no_second_place(pool, clock):
    old = await pool.acquire("old", 1)
    clock.seconds += 6
    pool.reap(5)
    pool.release(old)
    assert (pool.in_use, pool.idle) == (0, 2)


async def test_a_caller_that_gives_up_at_the_moment_of_its_turn_loses_no_connection(pool):
    held = await pool.acquire("a", 1)
    await pool.acquire("b", 1)
    waiting = asyncio.create_task(pool.acquire("c", 1))
    await asyncio.sleep(0)
    pool.release(held)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert pool.in_use == 1


async def test_a_smaller_pool_is_reached_as_connections_come_back(pool):
    held = [await pool.acquire("a", 1), await pool.acquire("b", 1)]
    pool.resize(1)
    assert (pool.in_use, pool.idle) == (2, 0)
    pool.release(held[0])
    assert pool.idle == 0
    pool.release(held[1])
    assert pool.idle == 1
