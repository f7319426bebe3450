"""Which requests are shown in Slack, where, and who has read them in full."""

import asyncio
from dataclasses import dataclass, field

from runbookd.approvals.channel import Ref
from runbookd.approvals.view import RequestView

_BEING_POSTED_S = 1.0


@dataclass
class Shown:
    """A request in Slack. ``ref`` is None while its message is on the way."""

    view: RequestView
    ref: Ref | None = None
    read_by: set[str] = field(default_factory=set)
    posted: asyncio.Event = field(default_factory=asyncio.Event)


class ShownRequests:
    """All requests that this daemon shows, by id."""

    def __init__(self) -> None:
        self._by_id: dict[str, Shown] = {}

    def put(self, view: RequestView, ref: Ref | None) -> None:
        """Note how a request stands, and where its message is if that is known."""
        shown = self._by_id.setdefault(view.id, Shown(view))
        shown.view = view
        if ref is not None:
            shown.ref = ref
            shown.posted.set()

    async def find(self, request: str, session: str) -> Shown | None:
        """The request of that session, or None. Waits shortly for one that is being posted."""
        shown = self._by_id.get(request)
        if shown is None or shown.view.session != session:
            return None
        try:
            async with asyncio.timeout(_BEING_POSTED_S):
                await shown.posted.wait()
        except TimeoutError:
            return None
        return shown
