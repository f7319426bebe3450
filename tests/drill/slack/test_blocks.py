import pytest

from runbookd.drill.slack.blocks import complaints_about
from runbookd.drill.slack.content import as_stored, pings, total_text

from .conftest import actions, button, mrkdwn, plain

CONFIRM = {
    "title": plain("Sure?"),
    "text": mrkdwn("It runs *once*."),
    "confirm": plain("Yes"),
    "deny": plain("No"),
}


def section(text="x", **more):
    return {"type": "section", "text": mrkdwn(text), **more}


def rich(*elements):
    return {"type": "rich_text", "elements": list(elements)}


def code(text="print(1)", **more):
    return {
        "type": "rich_text_preformatted",
        "elements": [{"type": "text", "text": text}],
        **more,
    }


def rich_section(*elements):
    return {"type": "rich_text_section", "elements": list(elements)}


GOOD = [
    {"type": "header", "text": plain("h" * 150)},
    section("s" * 3000, block_id="b" * 255),
    {"type": "section", "fields": [mrkdwn("f" * 2000)] * 10},
    section(accessory=button()),
    {"type": "context", "elements": [plain("c"), mrkdwn("d")]},
    {"type": "divider"},
    actions(button("b" * 75, "a" * 255, value="v" * 2000, style="danger", confirm=CONFIRM)),
    rich(
        code(),
        rich_section(
            {"type": "text", "text": "a", "style": {"bold": True, "code": True}},
            {"type": "link", "url": "https://example.com", "text": "l"},
            {"type": "emoji", "name": "lock"},
            {"type": "user", "user_id": "U0DANA"},
        ),
        {"type": "rich_text_quote", "elements": [{"type": "text", "text": "q"}]},
        {
            "type": "rich_text_list",
            "style": "ordered",
            "indent": 1,
            "elements": [rich_section({"type": "text", "text": "i"})],
        },
    ),
]


def test_everything_an_approval_wants_is_accepted_up_to_its_limit():
    assert complaints_about(GOOD) == []
    assert complaints_about([{"type": "divider"}] * 50) == []


BAD = [
    (section("s" * 3001), "must be less than 3001 characters", "/blocks/0/text/text"),
    (section(""), "must be more than 0 characters", "/blocks/0/text/text"),
    ({"type": "section"}, "must define either `text` or `fields`", "/blocks/0"),
    (section(block_id="b" * 256), "must be less than 256 characters", "/blocks/0/block_id"),
    (section(colour="red"), "invalid additional property: colour", "/blocks/0"),
    (
        {"type": "section", "fields": [mrkdwn("f")] * 11},
        "no more than 10 items",
        "/blocks/0/fields",
    ),
    ({"type": "section", "fields": [mrkdwn("f" * 2001)]}, "less than 2001", "/fields/0/text"),
    ({"type": "section", "text": "bare"}, "must be an object", "/blocks/0/text"),
    ({"type": "header", "text": plain("h" * 151)}, "less than 151", "/blocks/0/text/text"),
    ({"type": "header", "text": mrkdwn("h")}, "unsupported type: mrkdwn", "/blocks/0/text/type"),
    ({"type": "header"}, "missing required field: text", "/blocks/0"),
    ({"type": "context", "elements": [mrkdwn("c")] * 11}, "no more than 10 items", "/elements"),
    ({"type": "context", "elements": []}, "no fewer than 1 items", "/blocks/0/elements"),
    (actions(*[button("b", str(n)) for n in range(26)]), "no more than 25 items", "/elements"),
    (actions(button("b" * 76)), "less than 76", "/elements/0/text/text"),
    (actions(button(action_id="a" * 256)), "less than 256", "/elements/0/action_id"),
    (actions(button(value="v" * 2001)), "less than 2001", "/elements/0/value"),
    (actions(button(style="green")), "valid enum value", "/elements/0/style"),
    (actions(button(), button()), "`action_id` approve already exists", "/blocks/0"),
    (actions({"type": "button", "text": mrkdwn("b")}), "unsupported type", "/elements/0/text/type"),
    (
        actions(button(confirm={**CONFIRM, "text": mrkdwn("t" * 301)})),
        "less than 301",
        "/elements/0/confirm/text/text",
    ),
    (
        actions(button(confirm={**CONFIRM, "title": plain("t" * 101)})),
        "less than 101",
        "/confirm/title/text",
    ),
    (
        actions(button(confirm={**CONFIRM, "deny": plain("t" * 31)})),
        "less than 31",
        "/confirm/deny/text",
    ),
    (
        actions(button(confirm={"title": plain("t"), "text": plain("t"), "confirm": plain("c")})),
        "missing required field: deny",
        "/elements/0/confirm",
    ),
    (rich(code("")), "must be more than 0 characters", "/elements/0/elements/0/text"),
    (rich(code(language="python")), "invalid additional property: language", "/elements/0"),
    (rich({"type": "rich_text_table"}), "unsupported type: rich_text_table", "/elements/0/type"),
    (rich(), "no fewer than 1 items", "/blocks/0/elements"),
    (
        rich(rich_section({"type": "text", "text": "a", "style": {"blink": True}})),
        "invalid additional property: blink",
        "/style",
    ),
    (
        rich({"type": "rich_text_list", "style": "stars", "elements": [rich_section()]}),
        "valid enum value",
        "/elements/0/style",
    ),
    ({"type": "input"}, "unsupported type: input", "/blocks/0/type"),
    ({"type": "markdown", "text": "# x"}, "unsupported type: markdown", "/blocks/0/type"),
    ({"text": plain("x")}, "missing required field: type", "/blocks/0"),
    ("divider", "must be an object", "/blocks/0"),
    ({"type": ["section"]}, "unsupported type", "/blocks/0/type"),
]


@pytest.mark.parametrize(("block", "says", "where"), BAD)
def test_what_slack_refuses_is_refused_and_named_by_its_place(block, says, where):
    complaints = complaints_about([block])
    assert len(complaints) == 1
    assert says in complaints[0]
    assert complaints[0].endswith(f"{where}]")


def test_more_than_fifty_blocks_are_refused():
    assert complaints_about([{"type": "divider"}] * 51) == [
        "no more than 50 items allowed [json-pointer:/blocks]"
    ]


def test_a_block_id_may_occur_once():
    twice = [{"type": "divider", "block_id": "b"}] * 2
    assert "block_id `b` already exists" in complaints_about(twice)[0]


def test_the_same_action_id_in_two_blocks_is_fine():
    assert complaints_about([actions(button()), actions(button())]) == []


@pytest.mark.parametrize("value", [None, "[]", {}, 3, [[]], [None]])
def test_anything_else_than_a_list_of_blocks_is_refused(value):
    assert complaints_about(value)


def test_all_text_is_counted_wherever_it_stands():
    blocks = [
        {"type": "header", "text": plain("12345")},
        actions(button("123", value="not counted", confirm=CONFIRM)),
        rich(code("1234567")),
    ]
    confirm = len("Sure?It runs *once*.YesNo")
    assert total_text(blocks) == 5 + 3 + 7 + confirm


def test_mentions_are_found_in_text_and_blocks_but_not_in_code():
    assert pings("<!channel> <@U0DANA|dana> <https://x|@here> <", []) == ["@U0DANA", "@channel"]
    blocks = [
        section("<!subteam^S0COMMAND> <!here>"),
        {"type": "header", "text": plain("<!everyone>")},
        rich(code("<!channel>"), rich_section({"type": "user", "user_id": "U0LEE"})),
    ]
    assert pings("", blocks) == ["@S0COMMAND", "@U0LEE", "@here"]


def test_stored_blocks_have_ids_and_defaults_and_the_given_ones_are_kept():
    names = iter("abcdef")
    stored = as_stored(
        [actions({"type": "button", "text": plain("x")}), section(block_id="mine")],
        lambda: next(names),
    )
    assert stored[0]["block_id"] == "a"
    assert stored[0]["elements"][0]["action_id"] == "b"
    assert stored[0]["elements"][0]["text"]["emoji"] is True
    assert stored[1]["block_id"] == "mine"
    assert stored[1]["text"]["verbatim"] is False
