"""Writes the record of a session line by line: real event models, no daemon."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from runbookd.canonical import sha256
from runbookd.clock import parse_rfc3339, rfc3339
from runbookd.events import (
    DAEMON,
    Actor,
    AdhocFinished,
    AdhocStarted,
    AdhocStartedData,
    ApprovalClaimed,
    ApprovalDecided,
    ApprovalFinished,
    ApprovalFinishedData,
    ApprovalPosted,
    ApprovalRequested,
    CellFinished,
    CellOutput,
    CellPlan,
    CellStarted,
    ClaimedData,
    ConnectorData,
    ConnectorRequested,
    Content,
    DecidedData,
    Event,
    FinishedData,
    KernelStarted,
    KernelStartedData,
    OpenedData,
    OutputData,
    PolicyRef,
    PostedData,
    Recorded,
    RequestedData,
    RunbookRef,
    SandboxReport,
    SessionOpened,
    StartedData,
)

RUNBOOK = Path(__file__).parents[2] / "runbooks" / "checkout-latency.ipynb"
LOG = "bastion/runbookd/20261124-0207"
SESSION = "20261124-0207"
ALICE = Actor(kind="person", id="alice", auth="peercred")
BEGIN = parse_rfc3339("2026-11-24T02:07:00.000000Z")


def notebook() -> dict[str, Any]:
    """The runbook of the drill."""
    found: dict[str, Any] = json.loads(RUNBOOK.read_text("utf-8"))
    return found


def plans(document: dict[str, Any]) -> tuple[CellPlan, ...]:
    """The walk of a notebook, as the daemon would plan it."""
    found = []
    for cell in document["cells"]:
        own = cell["metadata"].get("runbookd", {})
        if cell["cell_type"] != "code" and own.get("mode") != "manual":
            continue
        found.append(
            CellPlan(
                id=cell["id"],
                title=own.get("title", cell["id"]),
                mode=own.get("mode", "read-only"),
                risk=own.get("risk"),
                requires=tuple(own.get("requires", ())),
                rollback=own.get("rollback"),
                verify=own.get("verify"),
                source_digest=sha256("".join(cell["source"])),
            )
        )
    return tuple(found)


class Script:
    """A record that grows by ``gap`` a line."""

    def __init__(
        self, document: dict[str, Any] | None = None, begin: datetime = BEGIN, **opened: Any
    ) -> None:
        self.notebook = document or notebook()
        self.lines: list[Recorded] = []
        self.blobs: dict[str, bytes] = {}
        self.now = begin
        self._count = 0
        data: dict[str, Any] = {
            "program": "0.1.0",
            "vkey": "vkey",
            "runbook": RunbookRef(title="Checkout latency", path=str(RUNBOOK), digest="a" * 64),
            "policies": PolicyRef(digest="b" * 64, files={}),
            "kernelspec": "python3",
            "cells": plans(self.notebook),
            "parameters": {"leak_timeout": "5", "log_lines": "40"},
            "sandbox": SandboxReport(level="full", backend="sandlock", kernel="6.18"),
            "incident": "INC-42",
            "service": "checkout",
            "environment": "production",
            "severity": 2,
            "drill": True,
        }
        self.add(SessionOpened(data=OpenedData(**{**data, **opened})), ALICE)
        started = KernelStartedData(
            kernel="k1", lane="read-only", kernelspec="python3", level="full"
        )
        self.add(KernelStarted(data=started))

    def add(self, event: Event, actor: Actor = DAEMON) -> Recorded:
        """Write a line."""
        line = Recorded(
            log=LOG,
            seq=len(self.lines),
            prev="0" * 64,
            ts=rfc3339(self.now),
            mono=len(self.lines),
            boot="boot",
            actor=actor,
            event=event,
        )
        self.lines.append(line)
        self.now += timedelta(seconds=1)
        return line

    def name(self, kind: str) -> str:
        """A fresh id."""
        self._count += 1
        return f"{kind}{self._count}"

    def start(self, cell: str, lane: str = "read-only", request: str | None = None) -> str:
        """A step begins; its execution."""
        execution = self.name("x")
        data = StartedData(execution=execution, lane=lane, source_digest="c" * 64, timeout_s=60)
        self.add(CellStarted(cell=cell, request=request, data=data), ALICE)
        return execution

    def output(self, execution: str, cell: str | None, text: str, channel: str = "stdout") -> None:
        """A step prints."""
        self.contents(
            execution, cell, channel, Content(mime="text/plain", bytes=len(text), text=text)
        )

    def contents(self, execution: str, cell: str | None, channel: str, *contents: Content) -> None:
        """A step puts something out."""
        data = OutputData(execution=execution, channel=channel, contents=contents)
        self.add(CellOutput(cell=cell, data=data))

    def finish(self, execution: str, cell: str, status: str = "ok", **more: Any) -> None:
        """A step ends."""
        data = FinishedData(execution=execution, status=status, duration_ms=412, **more)
        self.add(CellFinished(cell=cell, data=data))

    def run(self, cell: str, *texts: str) -> str:
        """A step runs well."""
        execution = self.start(cell)
        for text in texts:
            self.output(execution, cell, text)
        self.finish(execution, cell)
        return execution

    def adhoc(self, source: str, text: str) -> str:
        """Somebody runs a cell of their own."""
        execution = self.name("x")
        data = AdhocStartedData(execution=execution, source=source, timeout_s=60)
        self.add(AdhocStarted(data=data), ALICE)
        self.output(execution, None, text)
        done = FinishedData(execution=execution, status="ok", duration_ms=31)
        self.add(AdhocFinished(data=done))
        return execution

    def ask(self, cell: str, minutes: float = 15, **changes: Any) -> str:
        """Somebody asks for approval; the request's id."""
        request = self.name("r")
        expires = rfc3339(self.now + timedelta(minutes=minutes))
        document: dict[str, Any] = {
            "inputs": {"leaked": "17", "leak_timeout": "5"},
            "parameters": {"leak_timeout": "5", "log_lines": "40"},
            "connectors": [
                {
                    "name": "checkout-admin",
                    "url": "http://127.0.0.1:8431",
                    "allow": ["GET /*", "POST /admin/pool"],
                }
            ],
            "may_touch": {
                "writable": [], "endpoints": [], "unix_sockets": [], "signals": False,
                "sandbox": "full",
            },
            **changes,
        }  # fmt: skip
        data = RequestedData(
            document=document,
            digest="3fa9c2d1" + "0" * 56,
            rules=("production-remediation",),
            groups=("commanders",),
            quorum=1,
            expires_at=expires,
            requester="alice",
        )
        self.add(ApprovalRequested(cell=cell, request=request, data=data), ALICE)
        self.add(
            ApprovalPosted(
                cell=cell,
                request=request,
                data=PostedData(channel="slack", ref={"channel": "C0INC", "ts": "1.2"}),
            )
        )
        return request

    def decide(
        self, cell: str, request: str, decision: str = "approve", reason: str = ""
    ) -> Recorded:
        """Dana decides."""
        dana = Actor(kind="person", id="dana", auth="slack")
        data = DecidedData(
            decision=decision,
            person="dana",
            via="slack",
            digest="3fa9c2d1" + "0" * 56,
            complete=True,
            reason=reason,
        )
        return self.add(ApprovalDecided(cell=cell, request=request, data=data), dana)

    def execute(self, cell: str, request: str, text: str = "") -> str:
        """What was approved runs; the execution stays open."""
        claimed = ClaimedData(execution=f"x{self._count + 1}", digest="3fa9c2d1" + "0" * 56)
        self.add(ApprovalClaimed(cell=cell, request=request, data=claimed), ALICE)
        execution = self.start(cell, "gated", request)
        self.call(execution, cell, "POST", "/admin/pool")
        if text:
            self.output(execution, cell, text)
        return execution

    def executed(self, cell: str, request: str, execution: str, status: str = "ok") -> None:
        """It ended."""
        self.finish(execution, cell, status)
        became = {"ok": "done", "unknown": "unknown"}.get(status, "failed")
        self.add(
            ApprovalFinished(cell=cell, request=request, data=ApprovalFinishedData(status=became))
        )

    def call(
        self, execution: str, cell: str, method: str, path: str, status: int = 200, why: str = ""
    ) -> None:
        """A request went through a connector."""
        data = ConnectorData(
            execution=execution,
            lane="read-only",
            connector="checkout-admin",
            method=method,
            path=path,
            status=status,
            bytes=120,
            duration_ms=8,
            refused=why,
        )
        self.add(ConnectorRequested(cell=cell, data=data))
