"""The service's measurements, and their Prometheus text exposition (version 0.0.4)."""

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterable
from math import ceil

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)


class Histogram:
    """Counts of observations by upper bound, with their sum."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count one observation, in seconds."""
        self._counts[bisect_left(_BUCKETS, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterable[str]:
        """The cumulative buckets, the sum and the count."""
        total = 0
        for bound, count in zip((*map(str, _BUCKETS), "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum:.6f}"
        yield f"{name}_count {total}"


class Measurements:
    """What the requests since the last start looked like, and those of the last seconds.

    Args:
        window: length of the recent window in seconds.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, window: float, now: Callable[[], float]) -> None:
        self._window = window
        self._now = now
        self._recent: deque[tuple[float, float, bool]] = deque()
        self.by_code: Counter[int] = Counter({200: 0, 201: 0, 503: 0})
        self.duration = Histogram()
        self.pool_wait = Histogram()
        self.leaked_total = 0

    def request(self, code: int, seconds: float) -> None:
        """Count one answered request."""
        self.by_code[code] += 1
        self.duration.observe(seconds)
        self._recent.append((self._now(), seconds, code >= 500))

    def recent(self) -> tuple[int, float, float]:
        """Number, p95 of the duration in seconds and ratio of 5xx within the window."""
        limit = self._now() - self._window
        while self._recent and self._recent[0][0] < limit:
            self._recent.popleft()
        if not self._recent:
            return 0, 0.0, 0.0
        durations = sorted(seconds for _, seconds, _ in self._recent)
        p95 = durations[ceil(0.95 * len(durations)) - 1]
        errors = sum(failed for _, _, failed in self._recent)
        return len(durations), p95, errors / len(durations)

    def lines(self) -> Iterable[str]:
        """Everything measured, as exposition lines."""
        yield from family("checkout_request_duration_seconds", "histogram", "Time to answer.")
        yield from self.duration.lines("checkout_request_duration_seconds")
        yield from family("checkout_requests_total", "counter", "Answered requests by status.")
        for code, count in sorted(self.by_code.items()):
            yield f'checkout_requests_total{{code="{code}"}} {count}'
        yield from family("checkout_pool_wait_seconds", "histogram", "Time in line for the pool.")
        yield from self.pool_wait.lines("checkout_pool_wait_seconds")
        yield from family(
            "checkout_pool_leaked_total", "counter", "Connections found held for too long."
        )
        yield f"checkout_pool_leaked_total {self.leaked_total}"
        count, p95, ratio = self.recent()
        label = f'{{window="{self._window:g}s"}}'
        for name, text, value in (
            ("checkout_requests", "Requests answered in the window.", str(count)),
            ("checkout_latency_p95_seconds", "95th percentile in the window.", f"{p95:.4f}"),
            ("checkout_error_ratio", "Share of 5xx in the window.", f"{ratio:.4f}"),
        ):
            yield from family(name, "gauge", text)
            yield f"{name}{label} {value}"


def family(name: str, kind: str, text: str) -> Iterable[str]:
    """The two comment lines that introduce a metric."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
