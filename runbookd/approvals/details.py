"""Everything that an approver has to see, in the order in which it matters.

Both the Slack message and the plain text are made from these parts, so that nothing can be in one
and missing in the other. All text has gone through :func:`runbookd.visible.visible`; a value that
must stay on its line cannot leave it.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from runbookd.approvals.view import RequestView
from runbookd.clock import parse_rfc3339
from runbookd.model import JsonText
from runbookd.visible import glyph, visible

_NONE = "nothing"
_STRANGE_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Rows:
    """Short facts, each a label and a value of one line."""

    title: str
    rows: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Text to be shown as it stands, in a fixed-width font."""

    title: str
    text: str


Part = Rows | Code


def parts(view: RequestView) -> tuple[Part, ...]:
    """What is asked for: everything but where the request stands now."""
    document = view.document
    source = visible(document.source)
    found: list[Part] = [
        Rows("Request", tuple(_about(view))),
        Code(
            f"Source ({line(document.language)}, kernel {line(document.kernelspec)}, "
            f"{size_of(document.source)})",
            source or "(empty)",
        ),
    ]
    strange = _strange(document.source)
    if strange:
        found.append(Rows("Look closely", (("Characters outside ASCII", strange),)))
    found += [
        Code("Inputs, frozen", _assignments(document.inputs)),
        Code("Parameters", _assignments(document.parameters)),
        Rows("It may reach", tuple(_reach(view))),
        Rows("It may touch", tuple(_touch(view))),
        Rows("Bound by", tuple(_bound(view))),
    ]
    if view.checkpoint_note:
        found.append(Code("Checkpoint of the record", visible(view.checkpoint_note).rstrip("\n")))
    return tuple(found)


def line(text: str) -> str:
    """``text`` on one line with every hidden character shown, line feeds and tabs too."""
    shown = visible(text)
    return shown.replace("\n", glyph("\n")).replace("\t", glyph("\t"))


def moment(text: str) -> str:
    """An RFC 3339 time for people, to the second: ``2026-11-24 02:07:31 UTC``."""
    try:
        return f"{parse_rfc3339(text):%Y-%m-%d %H:%M:%S} UTC"
    except ValueError:
        return line(text)


def size_of(text: str) -> str:
    """How long a text is, for people: ``12 lines, 345 characters``."""
    lines = len(text.splitlines())
    return f"{lines} line{'' if lines == 1 else 's'}, {len(text)} characters"


def _about(view: RequestView) -> Iterator[tuple[str, str]]:
    document = view.document
    yield "Step", line(view.title)
    yield "Runbook", line(view.runbook)
    yield "Incident", line(view.incident or "none")
    if view.severity is not None:
        yield "Severity", str(view.severity)
    yield "Service", line(document.service or "not said")
    yield "Environment", line(document.environment or "not said")
    account = f" (Slack {line(document.requester_slack)})" if document.requester_slack else ""
    yield "Asked by", line(document.requester) + account
    people = "person" if view.quorum == 1 else "people"
    yield "Who decides", f"{view.quorum} {people} of {_list(view.groups)}; not whoever asked"
    yield "Expires", moment(view.expires_at)
    yield "How to undo it", line(view.rollback or "no rollback is named")
    yield "Fingerprint", view.fingerprint


def _reach(view: RequestView) -> Iterator[tuple[str, str]]:
    for connector in view.document.connectors:
        allowed = _list(connector.allow)
        yield line(connector.name), f"{line(connector.url)}: {allowed}"
    if not view.document.connectors:
        yield "Connectors", _NONE
    yield "Other addresses", _list(view.document.may_touch.endpoints)


def _touch(view: RequestView) -> Iterator[tuple[str, str]]:
    touch = view.document.may_touch
    yield "Writable", f"its scratch folder; {_list(touch.writable)} besides"
    yield "Unix sockets", _list(touch.unix_sockets)
    yield "Signals to other processes", "yes" if touch.signals else "no"
    levels = {
        "full": "enforced",
        "process": "of the process only, without namespaces",
        "none": "NONE: it can do whatever the daemon's user can",
    }
    yield "Sandbox", levels[touch.sandbox]
    yield "Time limit", f"{view.document.timeout_s} s"
    yield "Hands back", _list(view.document.outputs)


def _bound(view: RequestView) -> Iterator[tuple[str, str]]:
    document = view.document
    yield "Digest", view.digest
    yield "Request", line(view.id)
    yield "Session", line(view.session)
    yield "Asked at", moment(document.requested_at)
    checkpoint = document.checkpoint
    yield "Record", f"{checkpoint.size} lines, root {line(checkpoint.root)}"


def _assignments(values: Mapping[str, JsonText]) -> str:
    if not values:
        return "(none)"
    return "\n".join(f"{line(name)} = {line(text)}" for name, text in values.items())


def _list(values: tuple[str, ...]) -> str:
    return ", ".join(line(value) for value in values) or _NONE


def _strange(source: str) -> str:
    """Names the characters that may look like others, each with the first line it is on."""
    first: dict[str, int] = {}
    for number, text in enumerate(source.split("\n"), start=1):
        for char in text:
            if not char.isascii():
                first.setdefault(char, number)
    named = [
        f"{visible(char)} U+{ord(char):04X} {unicodedata.name(char, 'unnamed').lower()} "
        f"(line {number})"
        for char, number in list(first.items())[:_STRANGE_SHOWN]
    ]
    more = len(first) - len(named)
    return ", ".join(named) + (f", and {more} more" if more > 0 else "")
