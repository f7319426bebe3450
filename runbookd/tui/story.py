"""A session as the screens tell it: the folded state, and what the fold leaves to its readers.

:class:`Story` takes the record's lines in, one by one, and says which items of the view changed.
It holds outputs, notes and turned-away decisions; where the session stands is
:class:`~runbookd.session.state.SessionState`'s word alone.
"""

from dataclasses import dataclass, field
from typing import Literal

from runbookd.events import (
    AdhocFinished,
    AdhocStarted,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalRefused,
    CellFinished,
    CellOutput,
    CellSkipped,
    CellStarted,
    CellTicked,
    ConnectorData,
    ConnectorRequested,
    DriverChanged,
    KernelDied,
    NoteAdded,
    Recorded,
    Recovered,
    RefusedData,
    SessionClosed,
    SessionOpened,
)
from runbookd.session.state import Execution, SessionState, fold
from runbookd.tui.notebook import Notebook, NotebookCell
from runbookd.tui.outputs import Output

CALLS_KEPT = 100

Severity = Literal["information", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened which deserves a word. Raw text.

    A reader who stands at ``cell`` sees it there and need not be told.
    """

    text: str
    severity: Severity = "information"
    bell: bool = False
    cell: str | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """A person's note."""

    text: str
    person: str
    ts: str
    seq: int


@dataclass(frozen=True, slots=True)
class Item:
    """A stop of the walk: a step with the prose before it, an ad-hoc run, or the prose at the end.

    ``key`` is the cell's id, ``adhoc:<execution>``, or ``end``.
    """

    key: str
    kind: Literal["step", "adhoc", "end"]
    lead: tuple[NotebookCell, ...] = ()
    cell: NotebookCell | None = None


@dataclass
class Changes:
    """What lines changed: items by key, whether items came or the frame changed, and notices."""

    items: set[str] = field(default_factory=set)
    order: bool = False
    notices: list[Notice] = field(default_factory=list)


class Story:
    """The session so far."""

    def __init__(self, notebook: Notebook) -> None:
        self.notebook = notebook
        self.state = SessionState()
        self.last_ts = ""
        self.notes: dict[str, list[Note]] = {}
        self.calls: dict[str, list[ConnectorData]] = {}
        self.call_counts: dict[str, int] = {}
        self.turned_away: dict[str, list[RefusedData]] = {}
        self._outputs: dict[str, Output] = {}
        self._adhoc: dict[str, list[str]] = {}
        self._anchor = ""

    def feed(self, line: Recorded, changes: Changes) -> None:
        """Take in the next line and add what it changed to ``changes``.

        Raises:
            RecordError: the line does not follow the ones before it.
        """
        before = self.state
        self.state = fold(before, line)
        self.last_ts = line.ts
        event = line.event
        if event.cell is not None:
            changes.items.add(event.cell)
        match event:
            case SessionOpened() | SessionClosed() | Recovered() | DriverChanged():
                changes.order = True
            case CellStarted():
                old = before.cells[event.cell or ""].execution
                self._forget(old)
                self._outputs[event.data.execution] = Output()
                self._anchor = event.cell or self._anchor
            case AdhocStarted():
                self._outputs[event.data.execution] = Output()
                self._adhoc.setdefault(self._anchor, []).append(event.data.execution)
                changes.order = True
            case CellOutput():
                self.output(event.data.execution).feed(event.data)
                changes.items.add(self.item_of(event.data.execution))
            case ConnectorRequested():
                self._call(event.data)
                if event.data.execution in self.state.executions:
                    changes.items.add(self.item_of(event.data.execution))
            case NoteAdded():
                where = event.cell or self._anchor or next(iter(self.state.cells), "")
                note = Note(event.data.text, line.actor.id, line.ts, line.seq)
                self.notes.setdefault(where, []).append(note)
                changes.items.add(where)
            case CellSkipped() | CellTicked():
                self._anchor = event.cell or self._anchor
            case ApprovalRefused():
                self.turned_away.setdefault(event.request or "", []).append(event.data)
            case _:
                pass
        self._finished(line, changes)
        notice = _notice(line, self.state)
        if notice:
            changes.notices.append(notice)

    def _finished(self, line: Recorded, changes: Changes) -> None:
        """What ended by this line: its output is complete, its item looks different."""
        event = line.event
        if isinstance(event, CellFinished | AdhocFinished):
            self.output(event.data.execution).end_stream()
            changes.items.add(self.item_of(event.data.execution))

    def output(self, execution: str) -> Output:
        """What an execution put out so far."""
        return self._outputs.setdefault(execution, Output())

    def load(self, digest: str, content: bytes, why: str = "") -> set[str]:
        """Put a blob into the outputs that want it, or say ``why`` not; the items it changed."""
        changed: set[str] = set()
        for execution, output in self._outputs.items():
            if digest in output.wanted:
                if why:
                    output.fail(digest, why)
                else:
                    output.load(digest, content)
                changed.add(self.item_of(execution))
        return changed

    def item_of(self, execution: str) -> str:
        """The key of the item that shows an execution."""
        run = self.state.executions.get(execution)
        if run is None:
            return ""
        return run.cell if run.cell is not None else f"adhoc:{execution}"

    def run_of(self, key: str) -> Execution | None:
        """The latest execution of an item."""
        if key.startswith("adhoc:"):
            return self.state.executions.get(key.removeprefix("adhoc:"))
        cell = self.state.cells.get(key)
        return self.state.executions.get(cell.execution) if cell and cell.execution else None

    def items(self) -> list[Item]:
        """The stops of the walk, in the order of the notebook."""
        found = [Item(f"adhoc:{execution}", "adhoc") for execution in self._adhoc.get("", ())]
        lead: list[NotebookCell] = []
        for cell in self.notebook.cells:
            if cell.id not in self.state.cells:
                if cell.source.strip():
                    lead.append(cell)
                continue
            found.append(Item(cell.id, "step", tuple(lead), cell))
            lead = []
            found += [
                Item(f"adhoc:{execution}", "adhoc") for execution in self._adhoc.get(cell.id, ())
            ]
        if lead or (self.state.opened is None and not found):
            found.append(Item("end", "end", tuple(lead)))
        return found

    @property
    def standing(self) -> str:
        """Where someone who joins now had best look first: an item, or "" before the walk began."""
        state = self.state
        if state.running is not None:
            return self.item_of(state.running)
        approved = (name for name, cell in state.cells.items() if cell.mark == "approved")
        return next(approved, None) or state.next_cell() or self._anchor

    def _call(self, data: ConnectorData) -> None:
        self.call_counts[data.execution] = self.call_counts.get(data.execution, 0) + 1
        calls = self.calls.setdefault(data.execution, [])
        if len(calls) < CALLS_KEPT:
            calls.append(data)

    def _forget(self, execution: str | None) -> None:
        """A step that runs again shows its new output; the old one is in the record."""
        if execution is not None:
            self._outputs.pop(execution, None)
            self.calls.pop(execution, None)
            self.call_counts.pop(execution, None)


def _notice(line: Recorded, state: SessionState) -> Notice | None:
    event = line.event
    title = ""
    if event.cell is not None and event.cell in state.cells:
        title = f"'{state.cells[event.cell].plan.title}'"
    match event:
        case ApprovalDecided():
            data = event.data
            why = f": {data.reason}" if data.reason else ""
            if data.decision == "deny":
                return Notice(f"{data.person} denied {title}{why}", "error", True, event.cell)
            if not data.complete:
                said = f"{data.person} approved {title}; more people have to{why}"
                return Notice(said, cell=event.cell)
            return Notice(f"{data.person} approved {title}{why}", "information", True, event.cell)
        case ApprovalExpired():
            return Notice(f"the request for {title} expired", "warning", True, event.cell)
        case ApprovalRefused():
            said = f"{event.data.person} may not {event.data.decision} {title}: {event.data.reason}"
            return Notice(said, "warning", cell=event.cell)
        case DriverChanged():
            why = f": {event.data.reason}" if event.data.reason else ""
            return Notice(f"{event.data.person or 'nobody'} drives now{why}", "warning")
        case KernelDied() if event.data.lane == "read-only":
            return Notice(
                f"the read-only kernel died ({event.data.why}); its variables are gone", "error"
            )
        case Recovered():
            lost = "; the outcome of what ran is unknown" if event.data.executions else ""
            return Notice(f"the daemon was started again{lost}", "warning")
        case CellFinished() if event.data.status in {"died", "timeout"}:
            said = "its kernel died" if event.data.status == "died" else "it ran out of time"
            return Notice(f"{title}: {said}", "error")
        case SessionClosed():
            return Notice("the session is closed")
        case _:
            return None
