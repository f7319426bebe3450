"""Whether a record makes sense: nothing gated ran without its valid claim of a valid approval.

A pure fold over the lines. It judges by what the lines say, not by the daemon's own state machine,
so that a fault in one of the two shows in the other.
"""

from dataclasses import dataclass, field
from datetime import datetime

from runbookd.canonical import NotCanonical, digest
from runbookd.clock import parse_rfc3339
from runbookd.events import (
    AdhocFinished,
    AdhocStarted,
    ApprovalClaimed,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalRequested,
    ApprovalRevoked,
    CellFinished,
    CellStarted,
    ConnectorRequested,
    Recorded,
    Recovered,
    RequestedData,
    SessionOpened,
)
from runbookd.record.report import Findings


@dataclass(slots=True)
class _Request:
    """A request for approval, as far as it matters here."""

    line: Recorded
    data: RequestedData
    source_digest: str | None
    approvers: set[str] = field(default_factory=set)
    over: str = ""
    claimed: bool = False


@dataclass(frozen=True, slots=True)
class _Claim:
    request: _Request
    used: bool = False


class Sense:
    """Goes over the lines in order and notes what makes no sense."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._gated: set[str] = set()
        self._requests: dict[str, _Request] = {}
        self._claims: dict[str, _Claim] = {}
        self._running: dict[str, int] = {}
        self._connectors = 0

    def line(self, seq: int, line: Recorded) -> None:
        """Take the next line, which is number ``seq`` of the file."""
        match line.event:
            case SessionOpened(data=data):
                self._gated = {cell.id for cell in data.cells if cell.mode == "gated"}
            case ApprovalRequested(request=name, data=data):
                self._requested(seq, line, name, data)
            case ApprovalDecided():
                self._decided(seq, line, line.event)
            case ApprovalExpired(request=name):
                self._end(name, "it had expired")
            case ApprovalRevoked(request=name):
                self._end(name, "it had been revoked")
            case ApprovalClaimed():
                self._claimed(seq, line, line.event)
            case CellStarted():
                self._started(seq, line.event)
            case AdhocStarted(data=data):
                self._running[data.execution] = seq
            case CellFinished(data=data) | AdhocFinished(data=data):
                self._running.pop(data.execution, None)
            case Recovered(data=data):
                for execution in data.executions:
                    self._running.pop(execution, None)
            case ConnectorRequested():
                self._connectors += 1
            case _:
                pass

    def end(self, *, closed: bool) -> None:
        """Note what only the whole record shows."""
        for seq in self._running.values():
            text = "it started, but how it ended is not recorded"
            self._findings.add(seq, "unended", text, "unproved" if closed else "info")
        if self._connectors:
            text = f"{self._connectors} requests through connectors are recorded, but not checked"
            self._findings.add(None, "not-checked", text, "info")

    def _requested(self, seq: int, line: Recorded, name: str | None, data: RequestedData) -> None:
        if name is None or name in self._requests:
            self._findings.add(seq, "request-twice", "the request has no name of its own")
            return
        source = data.document.get("source_digest")
        self._requests[name] = _Request(line, data, source if isinstance(source, str) else None)
        try:
            same = digest(data.document) == data.digest
        except NotCanonical:
            same = False
        if not same and line.redacted:
            self._findings.add(
                seq,
                "request-redacted",
                "the request was redacted, so its digest cannot be computed again",
                "unproved",
            )
        elif not same:
            self._findings.add(
                seq, "request-digest", "the request does not have the digest it names"
            )

    def _decided(self, seq: int, line: Recorded, event: ApprovalDecided) -> None:
        request = self._requests.get(event.request or "")
        data = event.data
        if request is None:
            text = "a decision on a request that is not recorded before it"
            self._findings.add(seq, "decision-without-request", text)
            return
        if request.data.requester in {data.person, line.actor.id}:
            text = f"{data.person} decided on a request of their own"
            self._findings.add(seq, "self-decision", text)
        elif data.digest != request.data.digest:
            text = "the decision is on something other than the request"
            self._findings.add(seq, "decision-of-other-digest", text)
        elif data.decision == "deny":
            self._end(event.request, f"{data.person} had denied it")
        elif not _late(request, line):
            request.approvers.add(data.person)

    def _claimed(self, seq: int, line: Recorded, event: ApprovalClaimed) -> None:
        execution = event.data.execution
        request = self._requests.get(event.request or "")
        if request is None:
            text = "a claim of a request that is not recorded before it"
            self._findings.add(seq, "claim-without-request", text)
            return
        if request.claimed or execution in self._claims:
            self._findings.add(seq, "claimed-twice", "the approval had been used already")
        request.claimed = True
        self._claims[execution] = _Claim(request)
        if event.data.digest != request.data.digest:
            text = "the claim is of something other than the request"
            self._findings.add(seq, "claim-of-other-digest", text)
        needed = max(1, request.data.quorum)
        if request.over:
            text = f"the request was claimed although {request.over}"
            self._findings.add(seq, "claim-not-approved", text)
        elif len(request.approvers) < needed:
            text = f"claimed with {len(request.approvers)} of {needed} valid approvals"
            self._findings.add(seq, "claim-not-approved", text)
        if _late(request, line):
            text = f"the approval had expired at {request.data.expires_at}"
            self._findings.add(seq, "claim-late", text)

    def _started(self, seq: int, event: CellStarted) -> None:
        execution = event.data.execution
        self._running[execution] = seq
        gated = event.data.lane == "gated"
        if not gated and event.cell not in self._gated:
            return
        if not gated:
            text = "a gated cell started in the read-only lane"
            self._findings.add(seq, "wrong-lane", text)
            return
        claim = self._claims.get(execution)
        if claim is None or claim.used:
            text = "a gated cell started without a claim of its own before it"
            self._findings.add(seq, "unclaimed", text)
            return
        self._claims[execution] = _Claim(claim.request, used=True)
        request = claim.request
        asked = request.line.event
        if event.request != asked.request or event.cell != asked.cell:
            text = "what started is another cell, or under another request, than was approved"
            self._findings.add(seq, "other-cell", text)
        if event.data.source_digest != request.source_digest:
            text = "the source that started is not the one that was approved"
            self._findings.add(seq, "other-source", text)

    def _end(self, name: str | None, why: str) -> None:
        request = self._requests.get(name or "")
        if request is not None and not request.over:
            request.over = why


def _late(request: _Request, line: Recorded) -> bool:
    """Whether ``line`` came after the request's expiry, by the wall clock or by the other one."""
    expires = _moment(request.data.expires_at)
    asked = _moment(request.line.ts)
    now = _moment(line.ts)
    if expires is None or asked is None or now is None or now >= expires:
        return True
    # A wall clock can be set back; the monotonic one of the same boot cannot.
    waited_ns = line.mono - request.line.mono
    allowed_ns = int((expires - asked).total_seconds() * 1e9)
    return line.boot == request.line.boot and waited_ns >= allowed_ns


def _moment(text: str) -> datetime | None:
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None
