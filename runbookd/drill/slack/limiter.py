"""Slack's rate limits: https://docs.slack.dev/apis/web-api/rate-limits."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from runbookd.drill.slack.answers import RateLimited
from runbookd.drill.slack.limits import POST_BURST, POST_PER_S, TIERS


@dataclass
class _Bucket:
    capacity: float
    per_s: float
    level: float
    at: float


class Limiter:
    """Token buckets by method, and for posting by channel.

    Args:
        now: a monotonic clock in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._buckets: dict[str, _Bucket] = {}
        self.on = True

    def post(self, channel: str) -> None:
        """Count one message in a channel. Raises RateLimited when there are too many."""
        self._take(f"post {channel}", POST_BURST, POST_PER_S)

    def call(self, method: str, tier: int) -> None:
        """Count one call of a method. Raises RateLimited when there are too many."""
        self._take(method, TIERS[tier], TIERS[tier] / 60)

    def _take(self, key: str, capacity: float, per_s: float) -> None:
        if not self.on:
            return
        now = self._now()
        bucket = self._buckets.setdefault(key, _Bucket(capacity, per_s, capacity, now))
        bucket.level = min(capacity, bucket.level + (now - bucket.at) * per_s)
        bucket.at = now
        if bucket.level < 1:
            raise RateLimited(math.ceil((1 - bucket.level) / per_s))
        bucket.level -= 1
