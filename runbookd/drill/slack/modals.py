"""What Slack accepts as a modal, and how its form is filled in.

https://docs.slack.dev/reference/views/modal-views
"""

from typing import Any

from runbookd.drill.slack import limits
from runbookd.drill.slack.blocks import complaints_about, plain_text
from runbookd.drill.slack.shape import (
    Complaints,
    boolean,
    by_type,
    complain,
    record,
    string,
)


def _view_blocks(value: Any, pointer: str, complaints: Complaints) -> None:
    complaints += complaints_about(value, "modal", pointer)


_REQUIRED = "Please complete this required field."

_MODAL = by_type(
    {
        "modal": record(
            {"title": plain_text(limits.VIEW_TITLE), "blocks": _view_blocks},
            {
                "submit": plain_text(limits.VIEW_BUTTON),
                "close": plain_text(limits.VIEW_BUTTON),
                "private_metadata": string(limits.PRIVATE_METADATA, shortest=0),
                "callback_id": string(limits.IDENTIFIER, shortest=0),
                "external_id": string(limits.IDENTIFIER, shortest=0),
                "clear_on_close": boolean,
                "notify_on_close": boolean,
                "submit_disabled": boolean,
            },
        )
    }
)


def complaints_about_view(view: Any) -> Complaints:
    """Everything that Slack would refuse about this modal; empty when it is fine."""
    complaints: Complaints = []
    _MODAL(view, "/view", complaints)
    if not complaints and "submit" not in view:
        for index, block in enumerate(view["blocks"]):
            if block["type"] == "input":
                complain(
                    complaints, "a submit button is needed for inputs", f"/view/blocks/{index}"
                )
    return complaints


def filled_in(
    blocks: list[dict[str, Any]], values: dict[str, dict[str, Any]]
) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """The form's state as Slack sends it, and what it would tell the person to correct.

    Args:
        blocks: the view's blocks, with ids.
        values: what was entered: block id -> action id -> text, a chosen value, or a list of them.

    Returns:
        ``state.values`` of a submission, and a message for each block that cannot be submitted so.
    """
    state: dict[str, dict[str, Any]] = {}
    errors: dict[str, str] = {}
    for block in blocks:
        if block["type"] != "input":
            continue
        element = block["element"]
        block_id, action_id = block["block_id"], element["action_id"]
        entered = values.get(block_id, {}).get(action_id, _initial(element))
        answer, error = _answer(element, entered, optional=block.get("optional", False))
        state[block_id] = {action_id: {"type": element["type"], **answer}}
        if error:
            errors[block_id] = error
    return state, errors


def _initial(element: dict[str, Any]) -> Any:
    match element:
        case {"initial_value": value} | {"initial_option": {"value": value}}:
            return value
        case {"initial_options": options}:
            return [option["value"] for option in options]
        case _:
            return None


def _answer(element: dict[str, Any], entered: Any, *, optional: bool) -> tuple[dict[str, Any], str]:
    match element["type"]:
        case "plain_text_input":
            text = entered if isinstance(entered, str) and entered else None
            shortest = element.get("min_length", 0)
            longest = element.get("max_length", limits.INPUT_VALUE)
            if text and len(text) < shortest:
                return {"value": text}, f"Please enter at least {shortest} characters."
            if text and len(text) > longest:
                return {"value": text}, f"Please enter at most {longest} characters."
            return {"value": text}, "" if text or optional else _REQUIRED
        case "static_select":
            chosen = next((o for o in element["options"] if o["value"] == entered), None)
            return {"selected_option": chosen}, "" if chosen or optional else _REQUIRED
        case _:
            ticked = [o for o in element["options"] if o["value"] in (entered or [])]
            return {"selected_options": ticked}, "" if ticked or optional else _REQUIRED
