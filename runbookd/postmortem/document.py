"""What a postmortem draft holds, before any format: frozen values that cite the record.

Text in here is raw, as the record has it: each format makes it inert in its own way. ``refs`` are
the numbers (``seq``) of the record lines that carry a statement. Times are RFC 3339 UTC text,
durations integer milliseconds, and None means that the record does not say.
"""

from dataclasses import dataclass
from typing import Literal

from runbookd.events import CellStatus, Lane, OutputChannel
from runbookd.model import Digest, JsonText

Refs = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One sentence and the lines that carry it."""

    text: str
    refs: Refs


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the timeline; ``offset_ms`` counts from the opening of the session."""

    seq: int
    ts: str
    offset_ms: int | None
    who: str
    text: str
    refs: Refs


@dataclass(frozen=True, slots=True)
class Field:
    """A row of the header. ``literal`` values (digests, versions, paths) are shown as code."""

    name: str
    value: str | None
    refs: Refs
    literal: bool = False


@dataclass(frozen=True, slots=True)
class Metric:
    """A duration, what exactly it measures, and the two lines it lies between."""

    name: str
    meaning: str
    ms: int | None
    refs: Refs


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who took part: how they were known, and what they did."""

    id: str
    auth: tuple[str, ...]
    roles: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The beginning of a text.

    ``text`` is None when nothing can be shown, ``problems`` then says why. ``cut_bytes`` of
    ``total_bytes`` are not shown; ``blobs`` are where the whole stands.
    """

    text: str | None
    total_bytes: int = 0
    cut_bytes: int = 0
    blobs: tuple[Digest, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A representation that is named and not shown: an image, HTML, a widget."""

    mime: str
    bytes: int
    blob: Digest | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """What came out of an execution; neighbouring pieces of one stream are one output."""

    channel: OutputChannel
    excerpt: Excerpt | None
    attachments: tuple[Attachment, ...]
    refs: Refs


@dataclass(frozen=True, slots=True)
class Call:
    """A request through a connector; ``refused`` says why it did not go through."""

    seq: int
    ts: str
    connector: str
    method: str
    path: str
    status: int
    bytes: int
    duration_ms: int
    refused: str


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a source. ``cell`` and ``title`` are None for an ad-hoc one.

    ``status`` is None while no line tells the end; ``results`` were handed back by a gated run.
    """

    execution: str
    cell: str | None
    title: str | None
    lane: Lane
    request: str | None
    who: str
    source: Excerpt
    source_digest: Digest
    started_seq: int
    started_ts: str
    status: CellStatus | None
    finished_seq: int | None
    finished_ts: str | None
    duration_ms: int | None
    error: str
    lane_hint: str
    outputs: tuple[Output, ...]
    results: tuple[tuple[str, JsonText], ...]
    calls: tuple[Call, ...]
    refs: Refs


@dataclass(frozen=True, slots=True)
class Decision:
    """A press on approve or deny. One that was turned away does not ``count``."""

    seq: int
    ts: str
    person: str
    via: str
    verdict: Literal["approve", "deny"]
    counts: bool
    complete: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Action:
    """A request for approval and everything that became of it.

    ``inputs`` and ``terms`` are what the digest binds: the frozen values, and the rest of the
    request's document. ``latency_ms`` lies between asking and the approval being complete.
    ``shown`` tells where approvers saw it; ``ended`` holds expiry, revocation, claim and end, in
    the order of the record.
    """

    request: str
    cell: str
    title: str
    digest: Digest
    seq: int
    ts: str
    requester: str
    groups: tuple[str, ...]
    quorum: int
    rules: tuple[str, ...]
    expires_at: str
    state: str
    source: Excerpt
    inputs: tuple[tuple[str, JsonText], ...]
    terms: tuple[tuple[str, JsonText], ...]
    decisions: tuple[Decision, ...]
    latency_ms: int | None
    latency_refs: Refs
    shown: tuple[Fact, ...]
    ended: tuple[Fact, ...]
    run: Run | None

    @property
    def refs(self) -> Refs:
        """Every line that tells of this request and of its execution."""
        told = [self.seq, *(item.seq for item in self.decisions)]
        told += [ref for fact in (*self.shown, *self.ended) for ref in fact.refs]
        return tuple(sorted({*told, *(self.run.refs if self.run else ())}))

    @property
    def fingerprint(self) -> str:
        """The part of the digest that requester and approver compare."""
        return self.digest[:8]


@dataclass(frozen=True, slots=True)
class Note:
    """A note, or the remark with which a manual step was ticked off."""

    seq: int
    ts: str
    who: str
    title: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Appendix:
    """What someone needs to check the record: its origin, length, last checkpoint and key."""

    log: str
    lines: int
    last_seq: int
    vkey: str | None
    checkpoint: str | None
    checkpoint_seq: int | None
    redactions: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A postmortem draft of one session. ``integrity`` is the statement of whoever verified."""

    title: str
    session: str
    drill: bool
    closed: bool
    integrity: str
    language: str
    header: tuple[Field, ...]
    parameters: tuple[tuple[str, JsonText], ...]
    people: tuple[Person, ...]
    outline: tuple[Fact, ...]
    metrics: tuple[Metric, ...]
    timeline: tuple[Entry, ...]
    actions: tuple[Action, ...]
    ticks: tuple[Note, ...]
    runs: tuple[Run, ...]
    skips: tuple[Fact, ...]
    deviations: tuple[Fact, ...]
    notes: tuple[Note, ...]
    failures: tuple[Fact, ...]
    warnings: tuple[Fact, ...]
    recoveries: tuple[Fact, ...]
    appendix: Appendix
