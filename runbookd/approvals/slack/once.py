"""Doing a thing once, however often, and however simultaneously, one is told to."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

_MOST = 10_000


@dataclass
class _Act:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    done: bool = False


class Once:
    """Remembers the acts of late. One that failed may be tried again."""

    def __init__(self) -> None:
        self._acts: OrderedDict[tuple[str, ...], _Act] = OrderedDict()

    async def do(self, key: tuple[str, ...], work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work`` unless it was done under this key; in any case return when it is done."""
        act = self._acts.setdefault(key, _Act())
        async with act.lock:
            if not act.done:
                await work()
                act.done = True
        self._acts.move_to_end(key)
        while len(self._acts) > _MOST:
            self._acts.popitem(last=False)
