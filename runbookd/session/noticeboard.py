"""Shows a session's requests in the approval channels, and keeps what is shown up to date."""

import asyncio
from collections.abc import Callable

import structlog

from runbookd.approvals.channel import Channel
from runbookd.approvals.view import RequestView
from runbookd.errors import InputError, PolicyError, Unavailable
from runbookd.events import ApprovalPosted, PostedData
from runbookd.policy.model import Policies
from runbookd.session import asking
from runbookd.session.journal import Journal
from runbookd.session.state import OPEN_REQUEST

_log = structlog.get_logger(__name__)
_AGAIN_S = 2.0


class Noticeboard:
    """The requests of one session in all channels."""

    def __init__(
        self,
        journal: Journal,
        channels: tuple[Channel, ...],
        policies: Callable[[], Policies],
    ) -> None:
        self._journal = journal
        self._channels = channels
        self._policies = policies

    async def post(self, request: str) -> None:
        """Show a new request in every channel that can show it, and record where."""
        for channel in self._channels:
            try:
                await self._post(channel, request)
            except InputError as error:
                _log.warning("request.not_shown", channel=channel.name, error=str(error))

    async def _post(self, channel: Channel, request: str) -> None:
        """Post in one channel; while it is away, wait for as long as the request is open.

        Raises:
            InputError: the request can never be shown there.
        """
        while self._journal.state.requests[request].state in OPEN_REQUEST:
            view = self.view(request)
            try:
                ref = await channel.post(view)
            except Unavailable:
                # Not until something changes: a busy session would hammer the channel.
                await asyncio.sleep(_AGAIN_S)
                continue
            cell = self._journal.state.requests[request].cell
            data = PostedData(channel=channel.name, ref=ref)
            await self._journal.append(ApprovalPosted(cell=cell, request=request, data=data))
            now = self.view(request)
            if (now.state, now.approved_by) != (view.state, view.approved_by):
                # It was decided elsewhere while the message was on its way.
                await self.show(request)
            return

    async def show(self, request: str) -> None:
        """Have every channel show where the request stands now."""
        view = self.view(request)
        posted = self._journal.state.requests[request].posted
        for channel in self._channels:
            ref = posted.get(channel.name)
            if ref is not None:
                await channel.update(ref, view)

    async def conclude(self, request: str) -> None:
        """Show the end of the execution, and say below it how it went, with a checkpoint."""
        await self.show(request)
        view = self.view(request)
        posted = self._journal.state.requests[request].posted
        for channel in self._channels:
            ref = posted.get(channel.name)
            if ref is not None:
                await channel.thread(ref, f"Result: {view.result}\n\n{view.checkpoint_note}")

    async def reconcile(self) -> None:
        """After a start: post what was never posted, and show where the rest stands."""
        for asked in tuple(self._journal.state.requests.values()):
            if asked.posted:
                await self.show(asked.id)
            elif asked.state in OPEN_REQUEST:
                await self.post(asked.id)

    def view(self, request: str) -> RequestView:
        """Everything that is shown of a request, as it is now."""
        try:
            policies: Policies | None = self._policies()
        except PolicyError:
            policies = None
        state = self._journal.state
        return asking.view(state, state.requests[request], policies)
