"""The timeline: one row for whatever a reader of the next morning wants to see in its place.

Outputs and checkpoints have no row. A read-only execution has one, at its start, which also tells
its end; a gated one has two. Calls through a connector have a row when they could change
something or were refused.
"""

from dataclasses import dataclass
from typing import assert_never

from runbookd.events import (
    AdhocFinished,
    AdhocStarted,
    ApprovalClaimed,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalFinished,
    ApprovalPosted,
    ApprovalRefused,
    ApprovalRequested,
    ApprovalRevoked,
    CellFinished,
    CellOutput,
    CellSkipped,
    CellStarted,
    CellTicked,
    Checkpointed,
    ConnectorRequested,
    DriverChanged,
    FinishedData,
    KernelDied,
    KernelEnded,
    KernelStarted,
    NoteAdded,
    Recorded,
    Recovered,
    RecoveredData,
    SessionClosed,
    SessionOpened,
)
from runbookd.postmortem.document import Entry
from runbookd.postmortem.wording import (
    NOT_RECORDED,
    Names,
    because,
    between_ms,
    duration,
    moment,
    recovery,
)
from runbookd.visible import one_line, visible

NOTE_CHARS = 160
"""A longer note is cut on the timeline; the notes hold the whole."""


@dataclass(slots=True)
class _Row:
    line: Recorded
    text: str
    refs: list[int]
    ended: bool = True


class Timeline:
    """Collects rows, line by line."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._start: str | None = None
        self._rows: list[_Row] = []
        self._running: dict[str, _Row] = {}
        self._claims: dict[str, int] = {}
        self._ends: dict[str, _Row] = {}

    def take(self, line: Recorded) -> None:
        """Learn from a line."""
        if self._start is None:
            self._start = line.ts
        text = self._sentence(line)
        if text is not None:
            self._row(line, text)

    def entries(self) -> tuple[Entry, ...]:
        """The rows in the order of the record."""
        return tuple(
            Entry(
                seq=row.line.seq,
                ts=row.line.ts,
                offset_ms=between_ms(self._start, row.line.ts),
                who=_who(row.line),
                text=row.text if row.ended else f"{row.text}; its end is {NOT_RECORDED}",
                refs=tuple(row.refs),
            )
            for row in self._rows
        )

    def _row(self, line: Recorded, text: str, *, ended: bool = True) -> _Row:
        row = _Row(line, text, [line.seq], ended)
        self._rows.append(row)
        return row

    def _sentence(self, line: Recorded) -> str | None:
        """What the line adds as a row of its own; rows that later lines amend are made here."""
        event, cell, request = (
            line.event,
            self._names.cell(line.event.cell),
            self._names.request(line.event.request),
        )
        match event:
            case SessionOpened(data=opened):
                incident = f" for incident {opened.incident}" if opened.incident else ""
                drill = " as a drill" if opened.drill else ""
                return f"opened the runbook “{opened.runbook.title}”{incident}{drill}"
            case SessionClosed(data=data):
                return f"closed the session{because(data.reason)}"
            case DriverChanged(data=data):
                seat = "nobody drives" if data.person is None else f"{data.person} drives"
                return f"{seat} from now on{because(data.reason)}"
            case CellStarted(data=data):
                if data.lane == "gated":
                    self._gated_start(line, data.execution, f"started the approved run of {cell}")
                else:
                    row = self._row(line, f"ran {cell}", ended=False)
                    self._running[data.execution] = row
                return None
            case AdhocStarted(data=data):
                first = _short(data.source, 80)
                row = self._row(line, f"ran an ad-hoc cell “{first}”", ended=False)
                self._running[data.execution] = row
                return None
            case CellFinished(data=data) | AdhocFinished(data=data):
                return self._finished(line, data, cell)
            case CellSkipped(data=data):
                return f"skipped {cell}{because(data.reason)}"
            case CellTicked(data=data):
                return f"ticked off {cell}{because(data.text)}"
            case NoteAdded(data=data):
                about = f" about {cell}" if event.cell is not None else ""
                return f"noted{about}: “{_short(data.text, NOTE_CHARS)}”"
            case ApprovalRequested(data=data):
                groups = ", ".join(data.groups) or "nobody"
                return (
                    f"asked for approval of {cell}: {request}, {data.quorum} of {groups},"
                    f" until {moment(data.expires_at)}"
                )
            case ApprovalPosted(data=data):
                return f"showed {request} in the channel {data.channel}"
            case ApprovalDecided(data=data):
                verb = "approved" if data.decision == "approve" else "denied"
                more = "" if data.complete else ", which does not settle it yet"
                return f"{verb} {request} via {data.via}{more}{because(data.reason)}"
            case ApprovalRefused(data=data):
                return (
                    f"pressed {data.decision} on {request} via {data.via}"
                    f" and was turned away{because(data.reason)}"
                )
            case ApprovalExpired(data=data):
                return f"{request} expired{because(data.reason)}"
            case ApprovalRevoked(data=data):
                if data.superseded_by is not None:
                    newer = self._names.request(data.superseded_by)
                    return f"{request} was superseded by {newer}{because(data.reason)}"
                return f"took {request} back{because(data.reason)}"
            case ApprovalClaimed(data=data):
                self._claims[data.execution] = line.seq
                return None
            case ApprovalFinished(data=data):
                if (end := self._ends.get(event.request or "")) is not None:
                    end.refs.append(line.seq)
                    return None
                return f"{request} ended: {data.status}"
            case ConnectorRequested(data=data):
                if data.lane == "read-only" and not data.refused:
                    return None
                call = f"{data.method} {data.path} through {data.connector}"
                if data.refused:
                    return f"{call} was refused in the {data.lane} lane{because(data.refused)}"
                return f"{call}: {data.status}"
            case KernelDied(data=data):
                return f"the {data.lane} kernel died{because(data.why)}"
            case Recovered(data=data):
                return self._recovered(line, data)
            case KernelStarted() | KernelEnded() | CellOutput() | Checkpointed():
                return None
            case _:
                assert_never(event)

    def _gated_start(self, line: Recorded, execution: str, text: str) -> None:
        claim = self._claims.get(execution)
        by = self._names.request(line.event.request)
        row = self._row(line, f"{text} under {by}")
        if claim is not None:
            row.refs.insert(0, claim)

    def _finished(self, line: Recorded, data: FinishedData, cell: str) -> str | None:
        end = f"{data.status} after {duration(data.duration_ms)}"
        if data.status == "unknown":
            end = "outcome unknown"
        if data.error:
            end += because(_short(data.error, NOTE_CHARS))
        if (row := self._running.pop(data.execution, None)) is not None:
            row.text += f": {end}"
            row.refs.append(line.seq)
            row.ended = True
            return None
        gated = self._row(line, f"the run of {cell} ended: {end}")
        if line.event.request is not None:
            self._ends[line.event.request] = gated
        return None

    def _recovered(self, line: Recorded, data: RecoveredData) -> str:
        for name in data.executions:
            if (row := self._running.pop(name, None)) is not None:
                row.text += ": outcome unknown"
                row.refs.append(line.seq)
                row.ended = True
        return recovery(data)


def _who(line: Recorded) -> str:
    match line.event:
        case ApprovalDecided(data=data) | ApprovalRefused(data=data):
            return data.person
        case ApprovalRequested(data=asked):
            return asked.requester
        case _:
            return line.actor.id


def _short(text: str, limit: int) -> str:
    return one_line(visible(text), limit)
