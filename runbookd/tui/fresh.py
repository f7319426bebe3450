"""Keys that decide something count only when they were pressed after the question was seen."""

GRACE_S = 0.5
"""A key that comes sooner after the question appeared was typed ahead of it."""
REPEAT_S = 0.7
"""A key that comes sooner after itself may be one that is held down and begins to repeat."""
HELD_S = 0.12
"""A key that comes sooner after itself is held down; no finger is as fast."""


class FreshKey:
    """One deciding key. Times are in seconds on a clock that never goes back."""

    def __init__(self) -> None:
        self._asked: float | None = None
        self._pressed: float | None = None

    def ask(self, now: float, *, pressed: bool = False) -> None:
        """The question is on the screen since ``now``; ``pressed``: by this very key."""
        self._asked = now
        if pressed:
            self._pressed = now

    def press(self, now: float) -> bool:
        """Whether this press is an answer. Every press has to be told, answers or not."""
        held = self._pressed is not None and now - self._pressed < REPEAT_S
        self._pressed = now
        return self._asked is not None and now - self._asked >= GRACE_S and not held
