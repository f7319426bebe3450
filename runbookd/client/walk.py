"""Walks a session from the first step to the last without a screen. Gates stay gates."""

import asyncio
import contextlib
from dataclasses import dataclass

from runbookd.api import CloseSession, Interrupt, RevokeRequest, RunCell, SkipCell
from runbookd.client.client import DaemonClient
from runbookd.client.follow import Follower, OnLine, following
from runbookd.errors import CommandRefused, RunbookdError

HEADLESS_SKIP = "headless run: nobody is here to do this step"
_CLEANUP_S = 15.0
_AGAIN_S = 0.1
_NEWS_S = 2.0


@dataclass(frozen=True)
class Walked:
    """How a headless walk ended. ``exit_code`` is one of the design's; ``said`` one sentence."""

    session: str
    exit_code: int
    said: str


async def walk(
    client: DaemonClient,
    session: str,
    *,
    keep_going: bool = False,
    approval_timeout_s: float | None = None,
    on_line: OnLine = lambda _: None,
) -> Walked:
    """Run every step of ``session`` in order, then close it.

    Args:
        client: the daemon.
        session: an open session that this person drives.
        keep_going: go on after a failed read-only cell.
        approval_timeout_s: give up a pending approval after this long, besides its own expiry.
        on_line: is shown every recorded line, as it comes.
    """
    async with following(client, session, on_line) as follower:
        try:
            walked = await _steps(client, session, follower, keep_going, approval_timeout_s)
        except BaseException:
            # To its end, though the fault that broke off the events may cancel us meanwhile.
            cleaning = asyncio.create_task(_clean_up(client, session))
            while not cleaning.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait([cleaning])
            raise
        await client.command(session, CloseSession(reason=walked.said))
        await follower.until(lambda state: state.closed)
        return walked


async def _steps(
    client: DaemonClient,
    session: str,
    follower: Follower,
    keep_going: bool,
    approval_timeout_s: float | None,
) -> Walked:
    rollbacks = {cell.plan.rollback for cell in follower.state.cells.values()}
    failed: list[str] = []
    for name, cell in list(follower.state.cells.items()):
        if name in rollbacks:
            continue
        title = cell.plan.title
        if cell.plan.mode == "manual":
            await client.command(session, SkipCell(cell=name, reason=HEADLESS_SKIP))
            continue
        if cell.plan.mode == "gated":
            refusal = await _approval(client, session, follower, name, approval_timeout_s)
            if refusal:
                return Walked(session, 3, f"{title!r} {refusal}")
        try:
            execution = await _run(client, session, follower, name)
        except RunbookdError as error:
            if error.exit_code == 3:
                return Walked(session, 3, f"{title!r} was not run: {error.message}")
            if keep_going and error.exit_code == 1:
                failed.append(title)
                continue
            return Walked(session, error.exit_code, f"{title!r} was not run: {error}")
        status = await _status(follower, execution)
        if status != "ok":
            failed.append(title)
            if cell.plan.mode == "gated" or not keep_going:
                return Walked(session, 1, f"{title!r} ended with {status}")
    if failed:
        return Walked(session, 1, f"failed: {', '.join(failed)}")
    return Walked(session, 0, "all steps are done")


async def _run(client: DaemonClient, session: str, follower: Follower, cell: str) -> str:
    """Start ``cell``, unless its policy had it run at the moment of approval; its execution."""
    asked = follower.state.request_of(cell)
    if asked is not None and asked.execution is not None:
        return asked.execution
    try:
        accepted = await client.command(session, RunCell(cell=cell))
    except CommandRefused:
        # It may have been started just now, and the news of it be on its way.
        if asked is None or not await follower.until(
            lambda state: state.requests[asked.id].execution is not None, _NEWS_S
        ):
            raise
        return follower.state.requests[asked.id].execution or ""
    return accepted.execution or ""


async def _status(follower: Follower, execution: str) -> str:
    await follower.until(
        lambda state: (
            execution in state.executions and state.executions[execution].status is not None
        )
    )
    return follower.state.executions[execution].status or "unknown"


async def _approval(
    client: DaemonClient,
    session: str,
    follower: Follower,
    cell: str,
    timeout_s: float | None,
) -> str:
    """Ask for approval and wait for it; the empty string once approved, else what happened."""
    accepted = await client.command(session, RunCell(cell=cell))
    request = accepted.request or ""
    decided = await follower.until(
        lambda state: request in state.requests and state.requests[request].state != "pending",
        timeout_s,
    )
    if not decided:
        await client.command(session, RevokeRequest(request=request, reason="not decided in time"))
        return f"was not approved within {timeout_s:.0f} s"
    asked = follower.state.requests[request]
    if asked.state in {"approved", "executing", "done", "failed"}:
        return ""
    return f"was {asked.state}" + (f" by {asked.decided_by}" if asked.decided_by else "")


async def _clean_up(client: DaemonClient, session: str) -> None:
    """After Ctrl-C or a fault: stop what runs and close, which takes back what is asked.

    Best effort, and by what the daemon answers: what was followed so far may be behind.
    """
    refused = 0
    with contextlib.suppress(RunbookdError, TimeoutError):
        async with asyncio.timeout(_CLEANUP_S):
            while refused < 2:
                with contextlib.suppress(CommandRefused):
                    closing = CloseSession(reason="the headless run was broken off")
                    await client.command(session, closing)
                    return
                try:
                    await client.command(session, Interrupt())
                    refused = 0
                except CommandRefused:
                    refused += 1
                await asyncio.sleep(_AGAIN_S)
