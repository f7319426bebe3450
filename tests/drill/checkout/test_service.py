import json

import pytest

from runbookd.drill.checkout.service import Failed
from runbookd.drill.checkout.tuning import LEAKING_PATH

from .conftest import FAST, eventually, is_well


async def test_it_is_ill_from_the_first_moment(running):
    async with running() as service:
        await eventually(lambda: service.measured.recent()[0] >= 20)
        _, p95, errors = service.measured.recent()
        assert p95 >= FAST.acquire_timeout
        assert errors > 0.3
        assert service.pool.holders()[LEAKING_PATH] >= FAST.size - 3


async def test_the_reaper_and_one_reap_heal_it_and_it_stays_healthy(running):
    async with running() as service:
        await eventually(lambda: service.measured.recent()[0] >= 20)
        assert not is_well(service)
        service.set_reaper(True, 1)
        assert service.reap() > FAST.size / 2
        await eventually(lambda: is_well(service), 4)
        answered = service.measured.duration
        seen = sum(service.measured.by_code.values())
        await eventually(lambda: sum(service.measured.by_code.values()) > seen + 4 * FAST.rate)
        assert service.measured.duration is answered
        assert is_well(service)


async def test_reaping_once_without_the_reaper_does_not_last(running):
    async with running() as service:
        service.set_reaper(False, 1)
        service.reap()
        await eventually(lambda: is_well(service), 4)
        await eventually(lambda: not is_well(service))


async def test_a_restart_does_not_last(running):
    async with running() as service:
        before = service.started
        service.restart()
        assert service.started > before
        await eventually(lambda: is_well(service), 4)
        await eventually(lambda: not is_well(service))


async def test_more_connections_do_not_last(running):
    async with running() as service:
        service.resize(FAST.max_size)
        await eventually(lambda: is_well(service), 4)
        await eventually(lambda: not is_well(service), 20)


async def test_a_leak_timeout_that_is_too_long_does_not_heal(running):
    async with running() as service:
        service.set_reaper(True, 2)
        service.reap()
        await eventually(lambda: is_well(service), 4)
        await eventually(lambda: not is_well(service))


async def test_an_order_that_was_placed_can_be_read(running):
    async with running() as service:
        service.restart()
        await eventually(lambda: service.ready)
        order = await service.place_order("grinder")
        assert await service.read_order(order.id) == order
        with pytest.raises(Failed) as caught:
            await service.read_order("o-0")
        assert caught.value.code == 404


async def test_an_expired_coupon_loses_a_connection_and_a_valid_one_does_not(running):
    async with running(FAST.__class__(rate=1, size=5, database_timeout=60)) as service:
        service.restart()
        await eventually(lambda: service.ready)
        await service.place_order("grinder", "VALID")
        assert LEAKING_PATH not in service.pool.holders()
        await service.place_order("grinder", "SPRING-2019")
        assert service.pool.holders() == {LEAKING_PATH: 1}


async def test_failures_are_logged_as_json_with_the_state_of_the_pool(running, tmp_path):
    async with running() as service:
        await eventually(lambda: service.measured.by_code[503] > 3)
    lines = [json.loads(line) for line in (tmp_path / "checkout.log").read_text().splitlines()]
    failed = [line for line in lines if line["event"] == "request failed"]
    assert failed[0]["code"] == 503
    assert failed[0]["pool"]["max"] == FAST.size
    assert "no connection for" in failed[0]["reason"]
