"""Faults that a test or a drill orders for the calls to come."""

from collections import deque
from typing import Literal

from pydantic import Field

from runbookd.model import Frozen


class Fault(Frozen):
    """What shall happen to the next calls of a method.

    ``error`` answers with that error name; ``ratelimited`` with 429; ``http`` with ``status`` and
    no JSON; ``hang`` answers after ``seconds``; ``lost`` drops the connection before anything is
    done, ``lost_reply`` after it was done.
    """

    method: str
    kind: Literal["error", "ratelimited", "http", "hang", "lost", "lost_reply"]
    times: int = Field(default=1, ge=1)
    error: str = "internal_error"
    retry_after: int = 1
    status: int = 500
    seconds: float = 5.0


class Faults:
    """The faults that wait for their call."""

    def __init__(self) -> None:
        self._ordered: dict[str, deque[Fault]] = {}

    def order(self, fault: Fault) -> None:
        """Let the next ``fault.times`` calls of its method go wrong."""
        self._ordered.setdefault(fault.method, deque()).extend([fault] * fault.times)

    def clear(self) -> None:
        """Order nothing any more."""
        self._ordered.clear()

    def next_for(self, method: str) -> Fault | None:
        """The fault for this call, which uses it up."""
        waiting = self._ordered.get(method)
        return waiting.popleft() if waiting else None
