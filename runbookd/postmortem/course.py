"""How the walk went against the runbook: skips, deviations, failures, notes, and who took part."""

from dataclasses import dataclass, field

from runbookd.events import (
    AdhocFinished,
    AdhocStarted,
    ApprovalDecided,
    ApprovalFinished,
    ApprovalRefused,
    ApprovalRequested,
    CellFinished,
    CellSkipped,
    CellStarted,
    CellTicked,
    ConnectorRequested,
    DriverChanged,
    FinishedData,
    KernelDied,
    KernelStarted,
    NoteAdded,
    Recorded,
    Recovered,
    SessionClosed,
    SessionOpened,
)
from runbookd.postmortem.document import Fact, Note, Person
from runbookd.postmortem.wording import Names, because, count, recovery


@dataclass(slots=True)
class _Roles:
    auth: dict[str, None] = field(default_factory=dict)
    refs: dict[str, list[int]] = field(default_factory=dict)


class Course:
    """Collects what a reader asks first, line by line."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._people: dict[str, _Roles] = {}
        self._started: dict[str, list[int]] = {}
        self._touched: set[str] = set()
        self._furthest: tuple[int, str, int] | None = None
        self._last_ts: tuple[str, int] | None = None
        self.skips: list[Fact] = []
        self.deviations: list[Fact] = []
        self.failures: list[Fact] = []
        self.warnings: list[Fact] = []
        self.recoveries: list[Fact] = []
        self.ticks: list[Note] = []
        self.notes: list[Note] = []
        self.redactions: dict[str, list[int]] = {}

    def take(self, line: Recorded) -> None:
        """Learn from a line."""
        self._clock(line)
        for rule in line.redacted:
            self.redactions.setdefault(rule, []).append(line.seq)
        cell = self._names.cell(line.event.cell)
        if line.event.cell is not None and not isinstance(line.event, NoteAdded):
            self._touched.add(line.event.cell)
        match line.event:
            case SessionOpened(data=opened):
                self._role(line, "opened the session")
                if opened.unenforced:
                    self.warnings.append(
                        Fact("The policy let cells run without an enforced sandbox", (line.seq,))
                    )
                if opened.sandbox.level == "none":
                    why = because(opened.sandbox.why)
                    self.warnings.append(Fact(f"No sandbox was in force{why}", (line.seq,)))
            case SessionClosed():
                self._role(line, "closed the session")
            case DriverChanged(data=data) if data.person is not None:
                self._role(line, "drove", data.person)
            case KernelStarted(data=data) if data.level == "none":
                text = f"A {data.lane} kernel ran without a sandbox"
                self.warnings.append(Fact(text, (line.seq,)))
            case KernelDied(data=data):
                text = f"The {data.lane} kernel died{because(data.why)}"
                self.failures.append(Fact(text, (line.seq,)))
            case CellStarted(data=data):
                self._role(line, "ran cells")
                self._walked(line)
            case AdhocStarted():
                self._role(line, "ran ad-hoc cells")
                text = "A cell that is not in the runbook was run"
                self.deviations.append(Fact(text, (line.seq,)))
            case CellFinished(data=data):
                self._ended(line, cell, data)
            case AdhocFinished(data=data):
                self._ended(line, "An ad-hoc cell", data)
            case CellSkipped(data=data):
                self._role(line, "skipped steps")
                self.skips.append(Fact(f"{cell}{because(data.reason)}", (line.seq,)))
            case CellTicked(data=data):
                self._role(line, "did manual steps")
                self._walked(line)
                self.ticks.append(self._note(line, data.text))
            case NoteAdded(data=data):
                self._role(line, "wrote notes")
                self.notes.append(self._note(line, data.text))
            case ApprovalRequested(data=data):
                self._role(line, "asked for approval", data.requester)
            case ApprovalDecided(data=data):
                self._role(
                    line, "approved" if data.decision == "approve" else "denied", data.person
                )
            case ApprovalRefused(data=data):
                self._role(line, "was turned away as approver", data.person)
            case ApprovalFinished(data=data) if data.status != "done":
                how = "is unknown" if data.status == "unknown" else "was a failure"
                text = f"The outcome of {self._names.request(line.event.request)} {how}"
                self.failures.append(Fact(text, (line.seq,)))
            case ConnectorRequested(data=data) if data.refused:
                text = f"{data.method} {data.path} through {data.connector} was refused"
                self.failures.append(Fact(text + because(data.refused), (line.seq,)))
            case Recovered(data=data):
                text = f"The daemon {recovery(data)}"
                self.recoveries.append(Fact(text, (line.seq,)))
            case _:
                pass

    def people(self) -> tuple[Person, ...]:
        """Everyone who took part, in the order in which the record names them."""
        return tuple(
            Person(
                id=name,
                auth=tuple(roles.auth),
                roles=tuple(Fact(role, tuple(refs)) for role, refs in roles.refs.items()),
            )
            for name, roles in self._people.items()
        )

    def never_touched(self, last_seq: int) -> tuple[Fact, ...]:
        """The cells of the runbook that nothing was done about, up to the record's last line."""
        return tuple(
            Fact(f"{self._names.cell(name)} was neither run nor skipped", (0, last_seq))
            for name in self._names.plans
            if name not in self._touched
        )

    def _role(self, line: Recorded, role: str, person: str | None = None) -> None:
        actor = line.actor
        if person is None and actor.kind == "daemon":
            return
        roles = self._people.setdefault(person or actor.id, _Roles())
        roles.refs.setdefault(role, []).append(line.seq)
        if actor.kind == "person" and (person is None or person == actor.id):
            roles.auth[actor.auth] = None

    def _walked(self, line: Recorded) -> None:
        name = line.event.cell or ""
        cell, seq = self._names.cell(line.event.cell), line.seq
        before = self._started.setdefault(name, [])
        before.append(seq)
        if len(before) > 1:
            text = f"{cell} was run again ({count(len(before), 'run')} so far)"
            self.deviations.append(Fact(text, (before[-2], seq)))
            return
        place = list(self._names.plans).index(name) if name in self._names.plans else None
        if place is None:
            self.deviations.append(Fact(f"{cell} is not a cell of the runbook", (seq,)))
            return
        if self._furthest is not None and place < self._furthest[0]:
            _, later, later_seq = self._furthest
            text = f"{cell} came after {later}, which stands behind it in the runbook"
            self.deviations.append(Fact(text, (later_seq, seq)))
        else:
            self._furthest = (place, cell, seq)

    def _ended(self, line: Recorded, what: str, data: FinishedData) -> None:
        if data.status == "ok":
            return
        if data.status == "unknown":
            text = f"The outcome of {what} is unknown"
        else:
            text = f"{what} ended with {data.status}"
        text += because(data.error)
        if data.lane_hint:
            text += f"; {data.lane_hint}"
        self.failures.append(Fact(text, (line.seq,)))

    def _note(self, line: Recorded, text: str) -> Note:
        cell = line.event.cell
        title = self._names.title(cell) if cell is not None else None
        return Note(line.seq, line.ts, line.actor.id, title, text)

    def _clock(self, line: Recorded) -> None:
        # Lines are in the order of the record, so a smaller time means that the clock was set.
        if self._last_ts is not None and line.ts < self._last_ts[0]:
            text = "The clock went back; times and durations across this point are not reliable"
            self.failures.append(Fact(text, (self._last_ts[1], line.seq)))
        self._last_ts = (line.ts, line.seq)
