"""What the screens need of the daemon: the part of its client that they use."""

from collections.abc import AsyncIterator
from typing import Any, Protocol

from runbookd.api import (
    Accepted,
    ApprovalInfo,
    Command,
    Health,
    OpenSession,
    RunbookInfo,
    SessionInfo,
)
from runbookd.events import Recorded


class Daemon(Protocol):
    """A connection to the daemon. Every method raises a RunbookdError, or works."""

    async def health(self) -> Health:
        """What the daemon is and how it is."""
        ...

    async def runbooks(self) -> tuple[RunbookInfo, ...]:
        """The runbooks in the daemon's folder."""
        ...

    async def sessions(self) -> tuple[SessionInfo, ...]:
        """All sessions."""
        ...

    async def open(self, wanted: OpenSession) -> SessionInfo:
        """Open a session."""
        ...

    async def notebook(self, session: str) -> dict[str, Any]:
        """The frozen notebook as JSON; each cell's ``id`` is the one that events use."""
        ...

    def events(self, session: str, start: int = 0) -> AsyncIterator[Recorded]:
        """The record from ``start``, then live; ends when the session is closed.

        Raises:
            DaemonUnavailable: the daemon went away.
        """
        ...

    async def blob(self, session: str, digest: str) -> bytes:
        """The bytes of a blob of the session."""
        ...

    async def command(self, session: str, command: Command) -> Accepted:
        """Send a command; what comes of it arrives as events."""
        ...

    async def approvals(self) -> tuple[ApprovalInfo, ...]:
        """The requests of all sessions that wait for a decision."""
        ...

    async def reconnect(self) -> None:
        """Find the daemon again after it went away."""
        ...
