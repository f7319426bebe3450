"""What is in blocks that are known to be valid: elements, texts, mentions, ids."""

from collections.abc import Callable, Iterator
from typing import Any


def elements_of(block: dict[str, Any]) -> list[dict[str, Any]]:
    """The interactive elements of a block, in order."""
    match block:
        case {"type": "actions", "elements": elements}:
            return list(elements)
        case {"type": "section", "accessory": accessory}:
            return [accessory]
        case {"type": "input", "element": element}:
            return [element]
        case _:
            return []


def total_text(blocks: list[dict[str, Any]]) -> int:
    """How many characters the texts in these blocks have together."""
    return sum(len(text) for text in _texts(blocks))


def _texts(value: Any) -> Iterator[str]:
    match value:
        case {"text": str(text), **rest}:
            yield text
            yield from _texts(rest)
        case dict():
            for entry in value.values():
                yield from _texts(entry)
        case list():
            for entry in value:
                yield from _texts(entry)
        case _:
            return


def pings(text: str | None, blocks: list[dict[str, Any]]) -> list[str]:
    """Whom a message mentions, in its text (which the notification shows) or its blocks.

    Such as ``@channel``, ``@U0DANA``, ``@S0COMMAND``.
    """
    found = list(_mrkdwn_pings(text or ""))
    for block in blocks:
        found += _block_pings(block)
    return sorted(set(found))


def _block_pings(value: Any) -> Iterator[str]:
    match value:
        case {"type": "mrkdwn", "text": str(text)}:
            yield from _mrkdwn_pings(text)
        case {"type": "broadcast", "range": str(name)}:
            yield f"@{name}"
        case {"type": "user", "user_id": str(name)} | {
            "type": "usergroup",
            "usergroup_id": str(name),
        }:
            yield f"@{name}"
        case dict():
            for entry in value.values():
                yield from _block_pings(entry)
        case list():
            for entry in value:
                yield from _block_pings(entry)
        case _:
            return


def _mrkdwn_pings(text: str) -> Iterator[str]:
    for piece in text.split("<")[1:]:
        inner, closed, _ = piece.partition(">")
        if not closed:
            continue
        name = inner.split("|")[0]
        if name in {"!channel", "!here", "!everyone"}:
            yield f"@{name[1:]}"
        elif name.startswith("!subteam^"):
            yield f"@{name.removeprefix('!subteam^')}"
        elif name.startswith("@"):
            yield name


def as_stored(blocks: list[dict[str, Any]], new_id: Callable[[], str]) -> list[dict[str, Any]]:
    """The blocks as Slack stores them: every block and element has an id, defaults are written."""
    stored = []
    for block in blocks:
        copy = _with_defaults({**block, "block_id": block.get("block_id") or new_id()})
        match copy:
            case {"type": "actions"}:
                copy["elements"] = [_with_action_id(each, new_id) for each in copy["elements"]]
            case {"type": "section", "accessory": accessory}:
                copy["accessory"] = _with_action_id(accessory, new_id)
            case {"type": "input", "element": element}:
                copy["element"] = _with_action_id(element, new_id)
            case _:
                pass
        stored.append(copy)
    return stored


def _with_action_id(element: dict[str, Any], new_id: Callable[[], str]) -> dict[str, Any]:
    return {**element, "action_id": element.get("action_id") or new_id()}


def _with_defaults(value: Any) -> Any:
    match value:
        case {"type": "plain_text"}:
            return {"emoji": True, **value}
        case {"type": "mrkdwn"}:
            return {"verbatim": False, **value}
        case dict():
            return {name: _with_defaults(entry) for name, entry in value.items()}
        case list():
            return [_with_defaults(entry) for entry in value]
        case _:
            return value
