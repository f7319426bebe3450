"""How benchmarks measure: seconds of one piece of work, and ratios against a peer of the same run.

Each figure is a median; absolute times are printed for orientation only.
"""

import statistics
import time
from collections.abc import Awaitable, Callable, Sequence


async def timed(work: Callable[[], Awaitable[object]]) -> float:
    """Seconds that ``work`` takes."""
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def say(name: str, ours: Sequence[float], peer: Sequence[float], against: str) -> None:
    """Print the ratio of two medians.

    Args:
        name: what was measured.
        ours: our seconds, one for each round.
        peer: the peer's seconds.
        against: who the peer is.
    """
    mine, other = statistics.median(ours), statistics.median(peer)
    print(
        f"{name:<16} {mine / other:5.2f} x  ({mine * 1e3:.2f} ms; {against}: {other * 1e3:.2f} ms)"
    )
