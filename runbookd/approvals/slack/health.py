"""Whether Slack can be used now, and since when not."""

from datetime import timedelta
from typing import Literal

from runbookd.api import ChannelHealth
from runbookd.clock import Clock, rfc3339

State = Literal["off", "connecting", "connected", "away", "refused"]


class Pulse:
    """The state of the connection. A connection without a sign of life counts as away.

    Args:
        clock: the daemon's.
        silent_s: how old the last sign of life may be, in seconds.
    """

    def __init__(self, clock: Clock, silent_s: float) -> None:
        self._clock = clock
        self._silent_s = silent_s
        self._state: State = "off"
        self._since = clock.now()
        self._detail = ""
        self._heard_ns = 0

    @property
    def state(self) -> State:
        """The state as it was set last."""
        return self._state

    @property
    def detail(self) -> str:
        """What was said with it."""
        return self._detail

    def change(self, state: State, detail: str = "") -> None:
        """Note a state; the time counts from its beginning."""
        if state != self._state:
            self._since = self._clock.now()
        self._state, self._detail = state, detail
        if state == "connected":
            self.heard()

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard_ns = self._clock.monotonic_ns()

    def report(self, problem: str = "") -> ChannelHealth:
        """The state now; ``problem`` is added to what is said about it."""
        state, since, detail = self._state, self._since, self._detail
        age_s = (self._clock.monotonic_ns() - self._heard_ns) / 1e9
        if state == "connected" and age_s > self._silent_s:
            state, since = "away", self._clock.now() - timedelta(seconds=age_s)
            detail = f"no sign of life for {int(age_s)} s"
        return ChannelHealth(
            name="slack",
            state=state,
            since=rfc3339(since),
            detail="; ".join(part for part in (detail, problem) if part),
        )
