"""Block Kit building blocks in which nothing foreign can be markup, a mention or a link.

Foreign text only ever goes into ``plain_text`` (without emoji) and into ``text`` elements of
``rich_text``; ``mrkdwn`` is not used at all.
https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
"""

from typing import Any

from runbookd.approvals.slack.limits import pieces

Block = dict[str, Any]


def plain(text: str) -> dict[str, Any]:
    """A ``plain_text`` object."""
    return {"type": "plain_text", "text": text, "emoji": False}


def note(text: str) -> Block:
    """A section of plain text; at most 3,000 characters."""
    return {"type": "section", "text": plain(text)}


def facts(title: str, rows: tuple[tuple[str, str], ...]) -> Block:
    """A heading and labelled lines."""
    elements = _text(f"{title}\n", bold=True) if title else []
    for index, (label, value) in enumerate(rows):
        end = "\n" if index < len(rows) - 1 else ""
        elements += [*_text(f"{label}: ", bold=True), *_text(f"{value}{end}")]
    return _rich({"type": "rich_text_section", "elements": elements})


def code(title: str, text: str) -> list[Block]:
    """A heading and text as it stands, in as many boxes as it needs.

    Where a box ends within a line the next one says so: a border must not look like a line feed.
    """
    found: list[Block] = []
    whole = pieces(text)
    heading = title
    for index, piece in enumerate(whole):
        if index:
            within = not whole[index - 1].endswith("\n")
            place = "in the middle of a line" if within else "on the next line"
            heading = f"{title}, part {index + 1} of {len(whole)}, goes on {place}"
        found.append(
            _rich(
                {"type": "rich_text_section", "elements": _text(heading, bold=True)},
                {"type": "rich_text_preformatted", "elements": _text(piece)},
            )
        )
    return found


def escaped(text: str) -> str:
    """``text`` for a place where Slack reads markup, with the three characters that start any."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _rich(*elements: dict[str, Any]) -> Block:
    return {"type": "rich_text", "elements": list(elements)}


def _text(text: str, *, bold: bool = False) -> list[dict[str, Any]]:
    style: dict[str, Any] = {"style": {"bold": True}} if bold else {}
    return [{"type": "text", "text": piece, **style} for piece in pieces(text)]
