"""What verification found, for people and for programs."""

from typing import Literal, get_args

from runbookd.model import Frozen
from runbookd.record.chain import Break
from runbookd.record.reader import Defect

Area = Literal["integrity", "completeness", "anchoring", "meaning"]
"""The four questions: unchanged? all of it? who else can tell? and does it make sense?"""

Severity = Literal["fault", "unproved", "info"]
"""``fault``: the record does not verify. ``unproved``: what cannot be shown from what is here."""

Integrity = Literal[
    "record-missing",
    "record-unreadable",
    "vkey-missing",
    "vkey-malformed",
    "vkey-mismatch",
    "no-opening",
    "second-opening",
    "checkpoint-malformed",
    "checkpoint-bad-signature",
    "checkpoint-unsigned",
    "checkpoint-mismatch",
    "checkpoint-unrecorded",
    "checkpoint-behind",
    "two-notes",
    "truncated",
    "blob-missing",
    "blob-altered",
    "runbook-missing",
    "runbook-altered",
]
Completeness = Literal[
    "not-closed", "after-closing", "no-checkpoint", "after-checkpoint", "unended"
]
Anchoring = Literal[
    "not-anchored",
    "anchor-malformed",
    "anchor-other-log",
    "anchor-other-key",
    "anchor-bad-signature",
    "anchor-mismatch",
    "session-missing",
]
Meaning = Literal[
    "unclaimed",
    "claimed-twice",
    "claim-without-request",
    "claim-not-approved",
    "claim-late",
    "claim-of-other-digest",
    "request-twice",
    "request-digest",
    "request-redacted",
    "self-decision",
    "decision-without-request",
    "decision-of-other-digest",
    "other-cell",
    "other-source",
    "wrong-lane",
    "not-checked",
]
Kind = Defect | Break | Integrity | Completeness | Anchoring | Meaning
"""Every kind of finding there is."""

_LISTED = 20
_AREAS: tuple[Area, ...] = get_args(Area)


def area_of(kind: Kind) -> Area:
    """Which of the four questions a kind of finding answers."""
    if kind in get_args(Completeness):
        return "completeness"
    if kind in get_args(Anchoring):
        return "anchoring"
    return "meaning" if kind in get_args(Meaning) else "integrity"


class Finding(Frozen):
    """One thing to know. ``seq`` counts the lines of the file from 0; None: not about a line."""

    seq: int | None
    area: Area
    kind: Kind
    severity: Severity
    text: str


class Anchor(Frozen):
    """A checkpoint that somebody else held, and whether the record agrees with it.

    ``held`` is ``given`` for those that the caller brought, ``next-session`` for those that a later
    session of the same daemon recorded.
    """

    size: int
    root: str
    held: Literal["given", "next-session"]
    agrees: bool


class Report(Frozen):
    """The result of verifying one record.

    Attributes:
        folder: where it was read.
        log: the log's origin, when it is known.
        vkey: the verifier key that the folder brings.
        size: how many lines there are.
        root: the RFC 6962 root over them, hex.
        closed: whether the session was closed.
        checkpoints: how many embedded checkpoints hold.
        signed: how many lines the last of them covers.
        anchored: how many lines a checkpoint from outside covers.
        anchors: the outside checkpoints that are this log's.
        findings: everything to know, by area and line; at most 20 of a kind.
        left_out: how many more there were of a kind.
    """

    folder: str
    log: str | None
    vkey: str | None
    size: int
    root: str
    closed: bool
    checkpoints: int
    signed: int
    anchored: int
    anchors: tuple[Anchor, ...]
    findings: tuple[Finding, ...]
    left_out: dict[str, int]

    @property
    def ok(self) -> bool:
        """Whether the record verifies: there is no fault."""
        return all(finding.severity != "fault" for finding in self.findings)

    def lines(self) -> list[str]:
        """The report for people, one sentence a line."""
        verdict = "verifies" if self.ok else "DOES NOT VERIFY"
        state = "closed" if self.closed else "not closed"
        shown = [
            f"{self.log or self.folder}: {verdict}",
            f"  {_count(self.size, 'line')}, {state}; root {self.root}",
            f"  {_count(self.checkpoints, 'signed checkpoint')},"
            f" the last over the first {_count(self.signed, 'line')}",
        ]
        for area in _AREAS:
            found = [finding for finding in self.findings if finding.area == area]
            faults = sum(finding.severity == "fault" for finding in found)
            shown.append(f"{area}: {_count(faults, 'fault') if faults else 'no fault found'}")
            shown += [_sentence(finding) for finding in found]
        shown += [f"  … and {number} more of {kind}" for kind, number in self.left_out.items()]
        return shown


class Overview(Frozen):
    """The result of verifying every session of a home. ``missing`` names sessions that are gone."""

    reports: tuple[Report, ...]
    missing: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether every record verifies and none is missing."""
        return not self.missing and all(report.ok for report in self.reports)


class Findings:
    """Collects findings, and stops listing a kind that fills the page."""

    def __init__(self) -> None:
        self._found: list[Finding] = []
        self._number: dict[Kind, int] = {}

    def add(self, seq: int | None, kind: Kind, text: str, severity: Severity = "fault") -> None:
        """Note a finding."""
        self._number[kind] = number = self._number.get(kind, 0) + 1
        if number <= _LISTED:
            self._found.append(
                Finding(seq=seq, area=area_of(kind), kind=kind, severity=severity, text=text)
            )

    def listed(self) -> tuple[Finding, ...]:
        """The findings, by area."""
        return tuple(sorted(self._found, key=lambda finding: _AREAS.index(finding.area)))

    def left_out(self) -> dict[str, int]:
        """How many of each kind are not listed."""
        return {kind: number - _LISTED for kind, number in self._number.items() if number > _LISTED}


def _sentence(finding: Finding) -> str:
    where = "" if finding.seq is None else f"line {finding.seq}: "
    mark = {"fault": "FAULT", "unproved": "not proved", "info": "note"}[finding.severity]
    return f"  {mark}: {where}{finding.text} ({finding.kind})"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
