"""The schema of rich_text blocks: https://docs.slack.dev/reference/block-kit/blocks/rich-text-block."""

from runbookd.drill.slack.limits import IDENTIFIER, TEXT_OBJECT
from runbookd.drill.slack.shape import (
    array,
    boolean,
    by_type,
    integer,
    one_of,
    record,
    string,
)

_ANY_LENGTH = 10**9
_MANY = 10**6

_STYLE = record(
    optional=dict.fromkeys(
        ("bold", "italic", "strike", "code", "underline", "highlight"),
        boolean,
    )
)
_TEXT = record({"text": string(_ANY_LENGTH)}, {"style": _STYLE})
_LINK = record(
    {"url": string(TEXT_OBJECT)},
    {"text": string(_ANY_LENGTH), "unsafe": boolean, "style": _STYLE},
)
_INLINE = by_type(
    {
        "text": _TEXT,
        "link": _LINK,
        "emoji": record({"name": string(IDENTIFIER)}, {"unicode": string(IDENTIFIER)}),
        "user": record({"user_id": string(IDENTIFIER)}, {"style": _STYLE}),
        "usergroup": record({"usergroup_id": string(IDENTIFIER)}, {"style": _STYLE}),
        "channel": record({"channel_id": string(IDENTIFIER)}, {"style": _STYLE}),
        "broadcast": record({"range": one_of("here", "channel", "everyone")}, {"style": _STYLE}),
    }
)
_ELEMENTS = array(_INLINE, _MANY, least=0)
_SECTION = record({"elements": _ELEMENTS})
_BORDER = {"border": integer(0, 1)}

RICH_TEXT = record(
    {
        "elements": array(
            by_type(
                {
                    "rich_text_section": _SECTION,
                    "rich_text_preformatted": record(
                        {"elements": array(by_type({"text": _TEXT, "link": _LINK}), _MANY)},
                        _BORDER,
                    ),
                    "rich_text_quote": record({"elements": _ELEMENTS}, _BORDER),
                    "rich_text_list": record(
                        {
                            "style": one_of("bullet", "ordered"),
                            "elements": array(by_type({"rich_text_section": _SECTION}), _MANY),
                        },
                        {"indent": integer(0, 8), "offset": integer(0, 10**6), **_BORDER},
                    ),
                }
            ),
            _MANY,
        )
    },
    {"block_id": string(IDENTIFIER)},
)
