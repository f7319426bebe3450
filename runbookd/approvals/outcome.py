"""Where a request stands, in words: the heading and the lines below it, for every channel."""

from collections.abc import Iterator

from runbookd.approvals.details import line, moment
from runbookd.approvals.view import RequestView
from runbookd.events import RequestState

_HEADINGS: dict[RequestState, str] = {
    "pending": "Approval wanted",
    "approved": "Approved",
    "executing": "Approved, running now",
    "done": "Done",
    "failed": "Failed",
    "unknown": "Outcome unknown",
    "denied": "Denied",
    "expired": "Expired",
    "revoked": "Taken back",
    "superseded": "Replaced by a newer request",
}
_SYMBOLS: dict[RequestState, str] = {
    "pending": "⏳",
    "approved": "✅",
    "executing": "▶",
    "done": "✅",
    "failed": "❌",
    "unknown": "❓",
    "denied": "⛔",
    "expired": "⌛",
    "revoked": "↩",
    "superseded": "↪",
}
DRILL = "DRILL"
DRILL_NOTICE = "THIS IS A DRILL, a rehearsal against stand-ins. Nothing here is real."


def heading(view: RequestView) -> str:
    """One line: the state and the step, marked when it is a drill."""
    drill = f"{DRILL} · " if view.drill else ""
    return f"{_SYMBOLS[view.state]} {drill}{_HEADINGS[view.state]}: {line(view.title)}"


def outcome(view: RequestView) -> tuple[tuple[str, str], ...]:
    """Label and value of everything that has happened to the request so far."""
    return tuple(_outcome(view))


def _outcome(view: RequestView) -> Iterator[tuple[str, str]]:
    if view.approved_by:
        names = ", ".join(line(name) for name in view.approved_by)
        yield "Approved by", f"{names} ({len(view.approved_by)} of {view.quorum})"
    when = f" at {moment(view.decided_at)}" if view.decided_at else ""
    if view.state == "denied":
        yield "Denied by", f"{line(view.decided_by or 'somebody')}{when}"
    elif view.state != "pending" and when:
        yield "Settled", when.strip()
    if view.reason:
        yield "Reason", line(view.reason)
    if view.result:
        yield "Result", line(view.result)
    if view.state == "unknown":
        yield "What now", "a person must look; running it again needs a new approval"
