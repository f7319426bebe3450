"""Time, as an object that is handed in where a decision depends on it."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Where time comes from."""

    def now(self) -> datetime:
        """The wall clock, in UTC, with microseconds."""
        ...

    def monotonic_ns(self) -> int:
        """A clock that never goes back while the machine is up, in nanoseconds."""
        ...

    def boot(self) -> str:
        """Names the run of the machine that :meth:`monotonic_ns` counts in."""
        ...


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._boot = _boot_id()

    def now(self) -> datetime:
        """The wall clock in UTC."""
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        """Nanoseconds since an arbitrary start that is the same for all processes."""
        return time.monotonic_ns()

    def boot(self) -> str:
        """The kernel's boot id; on systems without one, the time of boot in seconds."""
        return self._boot


def rfc3339(moment: datetime) -> str:
    """A moment as RFC 3339 in UTC with six decimals, for example 2026-11-24T02:07:31.000000Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> datetime:
    """The moment that :func:`rfc3339` wrote. Raises ValueError for anything else."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"boot-{int(time.time() - time.monotonic())}"
