"""Events and records made by hand, for what is folded from them."""

from typing import Any

from runbookd.events import (
    Actor,
    ApprovalClaimed,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalFinished,
    ApprovalFinishedData,
    ApprovalRequested,
    ApprovalRevoked,
    CellFinished,
    CellOutput,
    CellPlan,
    CellStarted,
    ClaimedData,
    DecidedData,
    Event,
    FinishedData,
    KernelGoneData,
    KernelStarted,
    KernelStartedData,
    OpenedData,
    OutputData,
    PolicyRef,
    ReasonData,
    Recorded,
    RequestedData,
    RevokedData,
    RunbookRef,
    SandboxReport,
    SessionOpened,
    StartedData,
)
from runbookd.session.state import SessionState, fold_all

ALICE = Actor(kind="person", id="alice", auth="peercred")
ZERO = "0" * 64
LOG = "host/runbookd/20261124-020731-checkout-3f9a"


def cell(name: str, **more: Any) -> CellPlan:
    mode = more.pop("mode", "read-only")
    return CellPlan(id=name, title=name.title(), mode=mode, source_digest=ZERO, **more)


CELLS = (
    cell("look"),
    cell("fix", mode="gated", risk="high", rollback="undo", verify="check"),
    cell("check", requires=("look", "fix")),
    cell("undo", mode="gated"),
    cell("hands", mode="manual"),
)


def opened(**changes: Any) -> SessionOpened:
    values: dict[str, Any] = {
        "program": "runbookd 0",
        "vkey": "key",
        "runbook": RunbookRef(title="Checkout", path="/c.ipynb", digest=ZERO),
        "policies": PolicyRef(digest=ZERO, files={}),
        "kernelspec": "python3",
        "cells": CELLS,
        "parameters": {},
        "sandbox": SandboxReport(level="full", backend="test", kernel="Linux"),
    }
    return SessionOpened(data=OpenedData(**{**values, **changes}))


def line(seq: int, event: Event, actor: Actor = ALICE) -> Recorded:
    return Recorded(
        log=LOG,
        seq=seq,
        prev=ZERO,
        ts=f"2026-11-24T02:07:{seq % 60:02}.000000Z",
        mono=seq,
        boot="b",
        actor=actor,
        event=event,
    )


def lines(*events: Event) -> list[Recorded]:
    return [line(seq, event) for seq, event in enumerate((opened(), *events))]


def after(*events: Event) -> SessionState:
    return fold_all(lines(*events))


def started(execution: str = "x-1", name: str = "look", **more: Any) -> CellStarted:
    lane = "gated" if "request" in more else "read-only"
    data = StartedData(execution=execution, lane=lane, source_digest=ZERO, timeout_s=60)
    return CellStarted(cell=name, data=data, **more)


def output(execution: str = "x-1", name: str | None = "look") -> CellOutput:
    return CellOutput(
        cell=name, data=OutputData(execution=execution, channel="stdout", contents=())
    )


def finished(status: str = "ok", execution: str = "x-1", name: str = "look") -> CellFinished:
    data = FinishedData(execution=execution, status=status, duration_ms=7, error="e", lane_hint="h")  # type: ignore[arg-type]
    return CellFinished(cell=name, data=data)


def requested(request: str = "r-1", name: str = "fix", quorum: int = 1) -> ApprovalRequested:
    data = RequestedData(
        document={"source": "x"},
        digest=ZERO,
        rules=("all",),
        groups=("commanders",),
        quorum=quorum,
        expires_at="2026-11-24T02:22:31.000000Z",
        requester="alice",
    )
    return ApprovalRequested(cell=name, request=request, data=data)


def decided(
    decision: str = "approve", person: str = "dana", *, complete: bool = True, request: str = "r-1"
) -> ApprovalDecided:
    data = DecidedData(
        decision=decision,  # type: ignore[arg-type]
        person=person,
        via="slack",
        digest=ZERO,
        complete=complete,
        reason="because",
    )
    return ApprovalDecided(cell="fix", request=request, data=data)


def claimed(request: str = "r-1", execution: str = "x-1") -> ApprovalClaimed:
    return ApprovalClaimed(
        cell="fix", request=request, data=ClaimedData(execution=execution, digest=ZERO)
    )


def ended(status: str = "done", request: str = "r-1") -> ApprovalFinished:
    data = ApprovalFinishedData(status=status)  # type: ignore[arg-type]
    return ApprovalFinished(cell="fix", request=request, data=data)


def expired(request: str = "r-1") -> ApprovalExpired:
    return ApprovalExpired(cell="fix", request=request, data=ReasonData(reason="late"))


def revoked(request: str = "r-1", by: str | None = None) -> ApprovalRevoked:
    data = RevokedData(reason="why not", superseded_by=by)
    return ApprovalRevoked(cell="fix", request=request, data=data)


def kernel(name: str = "k-1", lane: str = "read-only") -> KernelStarted:
    data = KernelStartedData(kernel=name, lane=lane, kernelspec="python3", level="full")  # type: ignore[arg-type]
    return KernelStarted(data=data)


def gone(name: str = "k-1", lane: str = "read-only") -> KernelGoneData:
    return KernelGoneData(kernel=name, lane=lane, why="it ended")  # type: ignore[arg-type]
