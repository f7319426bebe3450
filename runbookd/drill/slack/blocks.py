"""What Slack accepts as blocks: https://docs.slack.dev/reference/block-kit.

Only the kinds that an approval could want are known. Any other is refused, although Slack has more.
"""

from typing import Any, Literal

from runbookd.drill.slack import limits
from runbookd.drill.slack.content import elements_of
from runbookd.drill.slack.rich_text import RICH_TEXT
from runbookd.drill.slack.shape import (
    Check,
    Complaints,
    array,
    boolean,
    by_type,
    complain,
    integer,
    one_of,
    record,
    string,
    together,
)

Surface = Literal["message", "modal"]


def plain_text(longest: int) -> Check:
    """A plain_text object of at most ``longest`` characters."""
    return by_type({"plain_text": record({"text": string(longest)}, {"emoji": boolean})})


def _any_text(longest: int) -> Check:
    return by_type(
        {
            "plain_text": record({"text": string(longest)}, {"emoji": boolean}),
            "mrkdwn": record({"text": string(longest)}, {"verbatim": boolean}),
        }
    )


_ID = string(limits.IDENTIFIER)
_STYLE = one_of("primary", "danger")
_CONFIRM = record(
    {
        "title": plain_text(limits.CONFIRM_TITLE),
        "text": _any_text(limits.CONFIRM_TEXT),
        "confirm": plain_text(limits.CONFIRM_BUTTON),
        "deny": plain_text(limits.CONFIRM_BUTTON),
    },
    {"style": _STYLE},
)
_BUTTON = record(
    {"text": plain_text(limits.BUTTON_TEXT)},
    {
        "action_id": _ID,
        "url": string(limits.BUTTON_URL),
        "value": string(limits.BUTTON_VALUE),
        "style": _STYLE,
        "confirm": _CONFIRM,
        "accessibility_label": string(limits.BUTTON_TEXT),
    },
)
_OPTION = record(
    {"text": _any_text(limits.OPTION_TEXT), "value": string(limits.OPTION_VALUE)},
    {"description": _any_text(limits.OPTION_TEXT)},
)
_SELECT = record(
    {"options": array(_OPTION, limits.OPTIONS)},
    {
        "action_id": _ID,
        "placeholder": plain_text(limits.PLACEHOLDER),
        "initial_option": _OPTION,
        "confirm": _CONFIRM,
        "focus_on_load": boolean,
    },
)
_CHECKBOXES = record(
    {"options": array(_OPTION, limits.CHECKBOXES)},
    {
        "action_id": _ID,
        "initial_options": array(_OPTION, limits.CHECKBOXES),
        "confirm": _CONFIRM,
        "focus_on_load": boolean,
    },
)
_TEXT_INPUT = record(
    optional={
        "action_id": _ID,
        "initial_value": string(limits.INPUT_VALUE, shortest=0),
        "multiline": boolean,
        "min_length": integer(0, limits.INPUT_VALUE),
        "max_length": integer(1, limits.INPUT_VALUE),
        "focus_on_load": boolean,
        "placeholder": plain_text(limits.PLACEHOLDER),
    }
)
_INTERACTIVE = {"button": _BUTTON, "static_select": _SELECT, "checkboxes": _CHECKBOXES}
_BLOCK_ID = {"block_id": _ID}


def _has_text_or_fields(value: Any, pointer: str, complaints: Complaints) -> None:
    if "text" not in value and "fields" not in value:
        complain(complaints, "must define either `text` or `fields`", pointer)


_EVERYWHERE: dict[str, Check] = {
    "divider": record(optional=_BLOCK_ID),
    "header": record({"text": plain_text(limits.HEADER)}, _BLOCK_ID),
    "section": together(
        record(
            optional={
                "text": _any_text(limits.TEXT_OBJECT),
                "fields": array(_any_text(limits.SECTION_FIELD), limits.SECTION_FIELDS),
                "accessory": by_type(_INTERACTIVE),
                "expand": boolean,
                **_BLOCK_ID,
            }
        ),
        _has_text_or_fields,
    ),
    "context": record(
        {"elements": array(_any_text(limits.TEXT_OBJECT), limits.CONTEXT_ELEMENTS)}, _BLOCK_ID
    ),
    "actions": record(
        {"elements": array(by_type(_INTERACTIVE), limits.ACTIONS_ELEMENTS)}, _BLOCK_ID
    ),
    "rich_text": RICH_TEXT,
}
_MODAL_ONLY: dict[str, Check] = {
    "input": record(
        {
            "label": plain_text(limits.LABEL),
            "element": by_type(
                {
                    "plain_text_input": _TEXT_INPUT,
                    "static_select": _SELECT,
                    "checkboxes": _CHECKBOXES,
                }
            ),
        },
        {
            "hint": plain_text(limits.LABEL),
            "optional": boolean,
            "dispatch_action": boolean,
            **_BLOCK_ID,
        },
    ),
}
_SURFACES: dict[Surface, Check] = {
    "message": array(by_type(_EVERYWHERE), limits.MESSAGE_BLOCKS, least=0),
    "modal": array(by_type({**_EVERYWHERE, **_MODAL_ONLY}), limits.VIEW_BLOCKS),
}


def complaints_about(
    blocks: Any, surface: Surface = "message", pointer: str = "/blocks"
) -> Complaints:
    """Everything that Slack would refuse about these blocks; empty when they are fine."""
    complaints: Complaints = []
    _SURFACES[surface](blocks, pointer, complaints)
    if not complaints:
        _check_unique(blocks, pointer, complaints)
    return complaints


def _check_unique(blocks: list[dict[str, Any]], pointer: str, complaints: Complaints) -> None:
    block_ids: set[str] = set()
    for index, block in enumerate(blocks):
        block_id = block.get("block_id")
        if block_id in block_ids:
            complain(complaints, f"block_id `{block_id}` already exists", f"{pointer}/{index}")
        if block_id is not None:
            block_ids.add(block_id)
        action_ids: set[str] = set()
        for element in elements_of(block):
            action_id = element.get("action_id")
            if action_id in action_ids:
                complain(
                    complaints, f"`action_id` {action_id} already exists", f"{pointer}/{index}"
                )
            if action_id is not None:
                action_ids.add(action_id)
