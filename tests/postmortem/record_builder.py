"""Builds realistic records for tests: real event models, a real chain, real blobs."""

import json
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from runbookd.approvals.request import (
    CheckpointRef,
    ConnectorGrant,
    MayTouch,
    RequestDocument,
)
from runbookd.canonical import canonical, digest
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
    ApprovalRefused,
    ApprovalRequested,
    CellFinished,
    CellOutput,
    CellPlan,
    CellStarted,
    CheckpointData,
    Checkpointed,
    ClaimedData,
    ConnectorData,
    ConnectorRequested,
    Content,
    DecidedData,
    Event,
    FinishedData,
    OpenedData,
    OutputData,
    PolicyRef,
    PostedData,
    ProbeRow,
    Recorded,
    RefusedData,
    RequestedData,
    RunbookRef,
    SandboxReport,
    SessionOpened,
    StartedData,
)
from runbookd.postmortem.document import Document
from runbookd.postmortem.model import project

LOG = "bastion/runbookd/01j-test"
ALICE = Actor(kind="person", id="alice", auth="peercred")
DANA = Actor(kind="person", id="dana", auth="slack")
OPENED_AT = "2026-11-24T02:00:00.000000Z"

SOURCES = {
    "usage": "usage = pool_usage()\nprint(usage)",
    "errors": "error_rate()",
    "resize": "resize_pool(target)",
    "check": "assert error_rate() < 0.01",
    "undo": "resize_pool(previous)",
    "call": "Call the owner of the service",
}


def hexdigest(text: str | bytes) -> str:
    return sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def plan(cell: str, title: str, mode: str = "read-only", **more: Any) -> CellPlan:
    return CellPlan(id=cell, title=title, mode=mode, source_digest=hexdigest(SOURCES[cell]), **more)


PLANS = (
    plan("usage", "Pool usage"),
    plan("errors", "Error rate"),
    plan("resize", "Resize the pool", "gated", risk="high", verify="check", rollback="undo"),
    plan("check", "Errors are gone"),
    plan("undo", "Put the pool back", "gated", risk="medium"),
    plan("call", "Call the owner", "manual"),
)

NOTEBOOK: dict[str, Any] = {
    "cells": [
        {"id": cell, "cell_type": "code", "source": source, "metadata": {}, "outputs": []}
        for cell, source in SOURCES.items()
    ],
    "metadata": {"kernelspec": {"name": "python3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}


class Record:
    """A record that grows by one second a line, unless a test turns the clock."""

    def __init__(self, **opened: Any) -> None:
        self.lines: list[Recorded] = []
        self.blobs: dict[str, bytes] = {}
        self.now: datetime = parse_rfc3339(OPENED_AT)
        self._executions = 0
        data = {
            "program": "0.1.0",
            "vkey": f"{LOG}+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
            "runbook": RunbookRef(
                title="Checkout latency",
                path="runbooks/checkout-latency.ipynb",
                digest=hexdigest(json.dumps(NOTEBOOK)),
                commit="8c0dc126308c2a2392f3c952bca783f941eac1b2",
            ),
            "policies": PolicyRef(digest="b" * 64, files={"checkout.yaml": "c" * 64}),
            "kernelspec": "python3",
            "cells": PLANS,
            "parameters": {"target": "40", "service": '"checkout"'},
            "sandbox": SandboxReport(
                level="full",
                backend="landlock+seccomp",
                kernel="6.18.0",
                rows=(ProbeRow(attack="write outside scratch", denied=True),),
            ),
            "incident": "INC-17",
            "service": "checkout",
            "environment": "production",
            "severity": 2,
        }
        self.add(SessionOpened(data=OpenedData(**(data | opened))), actor=ALICE)

    def add(self, event: Event, *, actor: Actor = DAEMON, redacted: tuple[str, ...] = ()) -> int:
        """Append a line; returns its number."""
        prev = "0" * 64
        if self.lines:
            prev = hexdigest(b"\0" + canonical(self.lines[-1].to_json()))
        seq = len(self.lines)
        self.lines.append(
            Recorded(
                log=LOG,
                seq=seq,
                prev=prev,
                ts=rfc3339(self.now),
                mono=seq * 1_000_000_000,
                boot="boot-1",
                actor=actor,
                event=event,
                redacted=redacted,
            )
        )
        self.now += timedelta(seconds=1)
        return seq

    def blob(self, data: str | bytes) -> str:
        """Store a blob; returns its digest."""
        data = data.encode() if isinstance(data, str) else data
        self.blobs[hexdigest(data)] = data
        return hexdigest(data)

    def start(self, cell: str, *, request: str | None = None, actor: Actor = ALICE) -> str:
        """Start a cell; returns the execution."""
        self._executions += 1
        name = f"x{self._executions}"
        data = StartedData(
            execution=name,
            lane="gated" if request else "read-only",
            source_digest=hexdigest(SOURCES[cell]),
            timeout_s=60,
        )
        self.add(CellStarted(cell=cell, request=request, data=data), actor=actor)
        return name

    def start_adhoc(self, source: str) -> str:
        """Start an ad-hoc cell; returns the execution."""
        self._executions += 1
        name = f"x{self._executions}"
        data = AdhocStartedData(execution=name, source=source, timeout_s=60)
        self.add(AdhocStarted(data=data), actor=ALICE)
        return name

    def output(self, execution: str, *contents: Content | str, channel: str = "stdout") -> int:
        """Add an output; a string is inline text."""
        made = tuple(
            Content(mime="text/plain", bytes=len(item.encode()), text=item)
            if isinstance(item, str)
            else item
            for item in contents
        )
        data = OutputData(execution=execution, channel=channel, contents=made)
        return self.add(CellOutput(data=data))

    def finish(self, execution: str, cell: str | None, status: str = "ok", **more: Any) -> int:
        """End an execution; without a cell it is an ad-hoc one."""
        request = more.pop("request", None)
        data = FinishedData(execution=execution, status=status, **({"duration_ms": 1200} | more))
        if cell is None:
            return self.add(AdhocFinished(data=data))
        return self.add(CellFinished(cell=cell, request=request, data=data))

    def run(self, cell: str, *texts: str, status: str = "ok", **more: Any) -> str:
        """Run a read-only cell to its end."""
        execution = self.start(cell)
        for text in texts:
            self.output(execution, text)
        self.finish(execution, cell, status, **more)
        return execution

    def request(self, name: str = "r1", cell: str = "resize", **more: Any) -> int:
        """Ask for approval."""
        document = RequestDocument(
            session="01j-test",
            runbook_digest="a" * 64,
            policy_digest="b" * 64,
            source=SOURCES[cell],
            source_digest=hexdigest(SOURCES[cell]),
            language="python",
            kernelspec="python3",
            kernelspec_digest="d" * 64,
            inputs={"target": "40"},
            outputs=("previous",),
            parameters={"target": "40"},
            connectors=(
                ConnectorGrant(
                    name="checkout-admin", url="http://127.0.0.1:8080", allow=("POST /admin/pool",)
                ),
            ),
            may_touch=MayTouch(sandbox="full"),
            environment="production",
            service="checkout",
            requester="alice",
            requester_slack="U0ALICE",
            timeout_s=300,
            requested_at=rfc3339(self.now),
            expires_at=rfc3339(self.now + timedelta(minutes=15)),
            checkpoint=CheckpointRef(size=len(self.lines), root="e" * 64),
            nonce=f"{len(self.lines):016x}",
        ).model_dump(mode="json") | more.pop("document", {})
        data = {
            "document": document,
            "digest": digest(document),
            "rules": ("production-remediation",),
            "groups": ("commanders",),
            "quorum": 1,
            "expires_at": rfc3339(self.now + timedelta(minutes=15)),
            "requester": "alice",
        } | more
        event = ApprovalRequested(cell=cell, request=name, data=RequestedData(**data))
        return self.add(event, actor=ALICE)

    def digest_of(self, name: str) -> str:
        """The digest of a request."""
        for line in self.lines:
            if isinstance(line.event, ApprovalRequested) and line.event.request == name:
                return line.event.data.digest
        raise KeyError(name)

    def post(self, name: str = "r1", cell: str = "resize") -> int:
        """The message is in the channel."""
        data = PostedData(channel="slack", ref={"channel": "C0INC", "ts": "1.2"})
        return self.add(ApprovalPosted(cell=cell, request=name, data=data))

    def decide(
        self, decision: str = "approve", name: str = "r1", cell: str = "resize", **more: Any
    ) -> int:
        """A decision that counts."""
        data = {"person": "dana", "via": "slack", "complete": True, "reason": "go"} | more
        made = DecidedData(decision=decision, digest=self.digest_of(name), **data)
        actor = Actor(kind="person", id=made.person, auth="slack")
        return self.add(ApprovalDecided(cell=cell, request=name, data=made), actor=actor)

    def refuse(self, person: str, reason: str, name: str = "r1", cell: str = "resize") -> int:
        """A click that was turned away."""
        data = RefusedData(decision="approve", person=person, via="slack", reason=reason)
        actor = Actor(kind="person", id=person, auth="slack")
        return self.add(ApprovalRefused(cell=cell, request=name, data=data), actor=actor)

    def claim(self, execution: str, name: str = "r1", cell: str = "resize") -> int:
        """The approval is used up."""
        data = ClaimedData(execution=execution, digest=self.digest_of(name))
        return self.add(ApprovalClaimed(cell=cell, request=name, data=data))

    def call(
        self, execution: str, method: str = "POST", path: str = "/admin/pool", **more: Any
    ) -> int:
        """A request through a connector."""
        data = {
            "lane": "gated",
            "connector": "checkout-admin",
            "status": 200,
            "bytes": 17,
            "duration_ms": 12,
        } | more
        made = ConnectorData(execution=execution, method=method, path=path, **data)
        return self.add(ConnectorRequested(data=made))

    def execute(self, name: str = "r1", cell: str = "resize", status: str = "ok") -> str:
        """Run an approved cell to its end, with one call through its connector."""
        execution = f"x{self._executions + 1}"
        self.claim(execution, name, cell)
        assert self.start(cell, request=name) == execution
        self.call(execution)
        self.output(execution, "resized\n")
        self.finish(execution, cell, status, request=name, outputs={"previous": "20"})
        ended = ApprovalFinishedData(status="done" if status == "ok" else "failed")
        self.add(ApprovalFinished(cell=cell, request=name, data=ended))
        return execution

    def checkpoint(self) -> int:
        """A checkpoint line; the note is not a valid one, nobody here verifies it."""
        note = (
            f"{LOG}\n{len(self.lines)}\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— k sig\n"
        )
        return self.add(Checkpointed(data=CheckpointData(note=note)))

    def read_blob(self, name: str) -> bytes:
        """What the projection is handed."""
        try:
            return self.blobs[name]
        except KeyError:
            raise FileNotFoundError(name) from None

    def document(self, integrity: str = "verified up to line 0", **more: Any) -> Document:
        """The projection of what is there, read back from its JSON."""
        lines = [Recorded.from_json(json.loads(canonical(line.to_json()))) for line in self.lines]
        given = {"notebook": NOTEBOOK, "read_blob": self.read_blob} | more
        return project(lines, integrity=integrity, **given)

    def write(self, folder: Path) -> Path:
        """Put the session's folder on disk, without signatures."""
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "record.jsonl").write_bytes(
            b"".join(canonical(line.to_json()) + b"\n" for line in self.lines)
        )
        (folder / "runbook.ipynb").write_text(json.dumps(NOTEBOOK), encoding="utf-8")
        for name, data in self.blobs.items():
            (folder / "blobs" / "sha256" / name).write_bytes(data)
        return folder
