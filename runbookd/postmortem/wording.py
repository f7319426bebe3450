"""How a draft names things: cells by title, requests by fingerprint, times as people read them."""

from runbookd.clock import parse_rfc3339
from runbookd.events import (
    ApprovalRequested,
    CellPlan,
    Recorded,
    RecoveredData,
    SessionOpened,
)

NOT_RECORDED = "not recorded"


class Names:
    """The titles and fingerprints that the lines so far gave."""

    def __init__(self) -> None:
        self.plans: dict[str, CellPlan] = {}
        self._requests: dict[str, str] = {}

    def take(self, line: Recorded) -> None:
        """Learn from a line."""
        match line.event:
            case SessionOpened(data=opened):
                self.plans = {plan.id: plan for plan in opened.cells}
            case ApprovalRequested(request=str(request), data=asked):
                self._requests[request] = asked.digest[:8]
            case _:
                pass

    def title(self, cell: str | None) -> str:
        """The title of a cell, else its id."""
        if cell is None:
            return NOT_RECORDED
        plan = self.plans.get(cell)
        return plan.title if plan and plan.title.strip() else cell

    def cell(self, cell: str | None) -> str:
        """The title of a cell in quotation marks."""
        return NOT_RECORDED if cell is None else f"“{self.title(cell)}”"

    def request(self, request: str | None) -> str:
        """A request by the fingerprint that requester and approver saw, else by its id."""
        if request is None:
            return f"request {NOT_RECORDED}"
        return f"request {self._requests.get(request, request)}"


def because(reason: str) -> str:
    """A reason as the end of a sentence; nothing when none was given."""
    return f": “{reason}”" if reason.strip() else ""


def recovery(data: RecoveredData) -> str:
    """What the daemon found after a crash."""
    text = "found the session open after a crash"
    if data.executions:
        text += f"; the outcome of {count(len(data.executions), 'execution')} is unknown"
    if data.torn_bytes:
        text += f"; {count(data.torn_bytes, 'byte')} of an unfinished line set aside"
    return text


def between_ms(start: str | None, end: str | None) -> int | None:
    """Milliseconds from one time to another; None when one is missing, odd, or before the other."""
    if start is None or end is None:
        return None
    try:
        passed = parse_rfc3339(end) - parse_rfc3339(start)
    except ValueError:
        return None
    ms = round(passed.total_seconds() * 1000)
    return ms if ms >= 0 else None


def moment(ts: str) -> str:
    """A time of the record to the second, ``2026-11-24 02:07:31``; anything else as it is."""
    try:
        return f"{parse_rfc3339(ts):%Y-%m-%d %H:%M:%S}"
    except ValueError:
        return ts


def duration(ms: int | None) -> str:
    """Milliseconds as people read them: ``250 ms``, ``1.200 s``, ``3 min 5 s``, ``2 h 0 min``."""
    if ms is None:
        return NOT_RECORDED
    if ms < 1000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms // 1000}.{ms % 1000:03d} s"
    minutes, seconds = divmod(ms // 1000, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def offset(ms: int | None) -> str:
    """Time since the start as ``+h:mm:ss``."""
    if ms is None:
        return NOT_RECORDED
    minutes, seconds = divmod(ms // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"+{hours}:{minutes:02d}:{seconds:02d}"


def count(number: int, one: str, many: str = "") -> str:
    """``1 cell``, ``2 cells``."""
    return f"{number} {one if number == 1 else many or one + 's'}"
