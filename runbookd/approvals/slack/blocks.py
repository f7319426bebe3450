"""From a request to the Slack message that shows it: pure.

A message shows everything, or says that it does not. When the request does not fit, the message
has only what is bounded in length, names how much is missing, and the whole is in the thread as a
file and behind "Read it in full"; the channel takes no approval from who has not opened that.
Which of the two forms is used depends only on what never changes, so every update fits too.
"""

from dataclasses import dataclass

from pydantic import ValidationError

from runbookd.approvals.console import request_text
from runbookd.approvals.details import Code, Rows, line, parts, size_of
from runbookd.approvals.outcome import DRILL, DRILL_NOTICE, heading, outcome
from runbookd.approvals.slack.elements import Block, code, escaped, facts, note, plain
from runbookd.approvals.slack.limits import (
    BLOCKS,
    CONFIRM_TEXT,
    HEADER,
    MESSAGE,
    MODAL,
    MODAL_BLOCKS,
    OUTCOME,
    REASON,
    clip,
    length,
    weight,
)
from runbookd.approvals.view import RequestView
from runbookd.errors import InputError
from runbookd.model import Digest, Frozen

APPROVE = "runbookd.approve"
DENY = "runbookd.deny"
READ = "runbookd.read"
REASON_BLOCK = "runbookd.reason"
REASON_ACTION = "runbookd.reason.text"

_ADVICE = (
    "Compare the fingerprint with the responder's screen. Press again if nothing changes within "
    "a few seconds: a click is lost while runbookd is away."
)
_DYNAMIC_BLOCKS = 6
_SHORT_ROWS = 12
_OUTCOME_LINE = 700


class ButtonValue(Frozen):
    """What a button or modal carries. It only points: who clicks is what Slack says of the act."""

    request: str
    session: str
    digest: Digest


@dataclass(frozen=True, slots=True)
class Message:
    """A Slack message. ``text`` is what a notification shows."""

    text: str
    blocks: list[Block]


def is_whole(view: RequestView) -> bool:
    """Whether the message itself shows everything that is asked for."""
    static = _whole(view)
    return len(static) <= BLOCKS - _DYNAMIC_BLOCKS and weight(static) <= MESSAGE - OUTCOME


def message(view: RequestView, *, whole: bool | None = None) -> Message:
    """The message for a request as it stands.

    Args:
        view: the request.
        whole: False for the short form in any case; by default what :func:`is_whole` says.
    """
    if whole is None:
        whole = is_whole(view)
    blocks: list[Block] = [{"type": "header", "text": plain(clip(heading(view), HEADER, length))}]
    if view.drill:
        blocks.append(facts("", ((DRILL, DRILL_NOTICE),)))
    happened = tuple((label, clip(value, _OUTCOME_LINE)) for label, value in outcome(view))
    if happened:
        blocks.append(facts("", happened))
    blocks += _whole(view) if whole else _short(view)
    if view.state == "pending":
        blocks += [_buttons(view, whole=whole), note(_ADVICE)]
    elif not whole:
        blocks.append({"type": "actions", "elements": [_read_button(view)]})
    title = escaped(f"{clip(heading(view), 400)} ({view.fingerprint})")
    return Message(title, blocks)


def full_text(view: RequestView) -> str:
    """The whole request as text, for the file in the thread and the modal.

    Raises:
        InputError: not even a modal can hold it, so it cannot be approved in Slack.
    """
    text = request_text(view)
    modal = reading_modal(view)
    if len(modal["blocks"]) > MODAL_BLOCKS or weight(modal) > MODAL:
        raise InputError(
            f"request {view.fingerprint} is too long to be read in Slack ({size_of(text)})",
            "another OS user can decide with `runbookd approve`",
        )
    return text


def reading_modal(view: RequestView) -> Block:
    """The modal that shows the whole request."""
    return {
        "type": "modal",
        "title": plain(f"Request {view.fingerprint}"),
        "close": plain("Close"),
        "blocks": code("Everything that is asked for", request_text(view)),
    }


def denial_modal(view: RequestView) -> Block:
    """The modal that asks why somebody denies. Its metadata points to the request, no more."""
    drill = f"{DRILL} · " if view.drill else ""
    return {
        "type": "modal",
        "callback_id": DENY,
        "private_metadata": _value(view),
        "title": plain(f"Deny {view.fingerprint}"),
        "submit": plain("Deny"),
        "close": plain("Cancel"),
        "blocks": [
            note(clip(f"{drill}{line(view.title)}", 1_000)),
            {
                "type": "input",
                "block_id": REASON_BLOCK,
                "label": plain("Why? The responder and the record will have your words."),
                "element": {
                    "type": "plain_text_input",
                    "action_id": REASON_ACTION,
                    "multiline": True,
                    "min_length": 1,
                    "max_length": REASON,
                    "focus_on_load": True,
                },
            },
        ],
    }


def read_value(text: object) -> ButtonValue | None:
    """What a button or modal carried, or None when it is nothing of ours."""
    if not isinstance(text, str):
        return None
    try:
        return ButtonValue.model_validate_json(text)
    except ValidationError:
        return None


def _whole(view: RequestView) -> list[Block]:
    blocks: list[Block] = []
    for part in parts(view):
        match part:
            case Rows():
                blocks.append(facts(part.title, part.rows))
            case Code():
                blocks += code(part.title, part.text)
    return blocks


def _short(view: RequestView) -> list[Block]:
    """Only what is bounded: every value clipped, and what is missing named."""
    blocks: list[Block] = [
        facts(
            "NOT EVERYTHING IS SHOWN HERE",
            (
                (
                    "Too long for a message",
                    f"the source has {size_of(view.document.source)}, all that is asked for has "
                    f"{size_of(request_text(view))}. Read it in full before you decide: press "
                    f"the button, or open {view.fingerprint}.txt in the thread. Values below "
                    "that end in … go on there.",
                ),
            ),
        )
    ]
    for part in parts(view):
        match part:
            case Rows():
                rows = part.rows[:_SHORT_ROWS]
                left_out = len(part.rows) - len(rows)
                more = (("And", f"{left_out} more…"),) if left_out else ()
                clipped = tuple((clip(label, 60), clip(value, 150)) for label, value in rows)
                blocks.append(facts(part.title, clipped + more))
            case Code():
                blocks.append(facts("", ((clip(part.title, 150), size_of(part.text)),)))
    return blocks


def _buttons(view: RequestView, *, whole: bool) -> Block:
    drill = f"{DRILL}: " if view.drill else ""
    title = clip(line(view.title), CONFIRM_TEXT - 100, length)
    approve = _button(view, APPROVE, "Approve", "primary") | {
        "confirm": {
            "title": plain(f"{drill}approve this?"),
            "text": plain(f"{title}\nFingerprint {view.fingerprint}. It may run once."),
            "confirm": plain("Approve"),
            "deny": plain("Back"),
        }
    }
    reading = [] if whole else [_read_button(view)]
    return {
        "type": "actions",
        "elements": [*reading, approve, _button(view, DENY, "Deny…", "danger")],
    }


def _read_button(view: RequestView) -> Block:
    return _button(view, READ, "Read it in full")


def _button(view: RequestView, action: str, label: str, style: str = "") -> Block:
    button = {
        "type": "button",
        "action_id": action,
        "text": plain(label),
        "value": _value(view),
    }
    return button | {"style": style} if style else button


def _value(view: RequestView) -> str:
    return ButtonValue(request=view.id, session=view.session, digest=view.digest).model_dump_json()
