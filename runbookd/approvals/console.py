"""A request as plain text: for a terminal, for a file, and for reading it in full in Slack."""

from runbookd.approvals.details import Code, Rows, parts
from runbookd.approvals.outcome import DRILL_NOTICE, heading, outcome
from runbookd.approvals.view import RequestView


def request_text(view: RequestView) -> str:
    """Everything about a request, with every hidden character shown; ends with a line feed."""
    lines = [heading(view)]
    if view.drill:
        lines.append(DRILL_NOTICE)
    lines += [f"{label}: {value}" for label, value in outcome(view)]
    for part in parts(view):
        lines += ["", f"== {part.title}"]
        match part:
            case Rows():
                lines += [f"{label}: {value}" for label, value in part.rows]
            case Code():
                lines += [f"  {text}" for text in part.text.split("\n")]
    return "\n".join(lines) + "\n"
