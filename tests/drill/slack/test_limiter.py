import pytest

from runbookd.drill.slack.answers import RateLimited
from runbookd.drill.slack.limiter import Limiter


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


def test_a_burst_passes_then_about_one_message_a_second():
    clock = Clock()
    limiter = Limiter(clock)
    for _ in range(5):
        limiter.post("C1")
    with pytest.raises(RateLimited) as caught:
        limiter.post("C1")
    assert caught.value.retry_after == 1
    limiter.post("C2")
    clock.seconds += 1
    limiter.post("C1")
    with pytest.raises(RateLimited):
        limiter.post("C1")


def test_a_method_has_its_tier_a_minute():
    clock = Clock()
    limiter = Limiter(clock)
    for _ in range(20):
        limiter.call("usergroups.users.list", 2)
    with pytest.raises(RateLimited) as caught:
        limiter.call("usergroups.users.list", 2)
    assert caught.value.retry_after == 3
    clock.seconds += 3
    limiter.call("usergroups.users.list", 2)


def test_limits_can_be_off():
    limiter = Limiter(Clock())
    limiter.on = False
    for _ in range(100):
        limiter.post("C1")
