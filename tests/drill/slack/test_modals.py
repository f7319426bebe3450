import pytest

from runbookd.drill.slack.modals import complaints_about_view, filled_in

from .conftest import modal, mrkdwn, plain


def entry(element, **more):
    return {
        "type": "input",
        "block_id": "b",
        "label": plain("L"),
        "element": {"action_id": "a", **element},
        **more,
    }


TEXT = {"type": "plain_text_input"}
OPTIONS = [{"text": plain("One"), "value": "1"}, {"text": plain("Two"), "value": "2"}]
SELECT = {"type": "static_select", "options": OPTIONS}
TICKS = {"type": "checkboxes", "options": OPTIONS}


def test_a_modal_is_accepted_up_to_its_limits():
    view = modal(
        *[{"type": "divider"}] * 98,
        entry({**TEXT, "multiline": True, "max_length": 3000, "placeholder": plain("p" * 150)}),
        {**entry(SELECT, optional=True, hint=plain("h")), "block_id": "c"},
        title=plain("t" * 24),
        private_metadata="m" * 3000,
        callback_id="c" * 255,
        notify_on_close=True,
    )
    assert complaints_about_view(view) == []


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"title": plain("t" * 25)}, "less than 25 characters [json-pointer:/view/title/text]"),
        ({"title": mrkdwn("t")}, "unsupported type: mrkdwn"),
        ({"submit": plain("s" * 25)}, "less than 25"),
        ({"private_metadata": "m" * 3001}, "less than 3001"),
        ({"callback_id": "c" * 256}, "less than 256"),
        ({"blocks": [{"type": "divider"}] * 101}, "no more than 100 items allowed"),
        ({"blocks": []}, "no fewer than 1 items allowed [json-pointer:/view/blocks]"),
        ({"type": "home"}, "unsupported type: home"),
        ({"unknown": 1}, "invalid additional property: unknown"),
        ({"blocks": [entry({**TEXT, "max_length": 3001})]}, "must be between 1 and 3000"),
        ({"blocks": [entry({"type": "datepicker"})]}, "unsupported type: datepicker"),
    ],
)
def test_a_modal_beyond_them_is_refused(more, says):
    complaints = complaints_about_view({**modal(), **more})
    assert len(complaints) == 1
    assert says in complaints[0]


def test_a_form_needs_a_submit_button():
    view = modal()
    del view["submit"]
    assert "submit button is needed" in complaints_about_view(view)[0]


@pytest.mark.parametrize(
    ("element", "entered", "state", "error"),
    [
        (TEXT, "why", {"value": "why"}, ""),
        (TEXT, None, {"value": None}, "Please complete this required field."),
        (TEXT, "", {"value": None}, "Please complete this required field."),
        (TEXT, ["x"], {"value": None}, "Please complete this required field."),
        ({**TEXT, "min_length": 3}, "no", {"value": "no"}, "Please enter at least 3 characters."),
        ({**TEXT, "max_length": 2}, "why", {"value": "why"}, "Please enter at most 2 characters."),
        (SELECT, "2", {"selected_option": OPTIONS[1]}, ""),
        (SELECT, "3", {"selected_option": None}, "Please complete this required field."),
        (TICKS, ["1", "2"], {"selected_options": OPTIONS}, ""),
        (TICKS, [], {"selected_options": []}, "Please complete this required field."),
    ],
)
def test_what_was_entered_becomes_the_state_of_the_form(element, entered, state, error):
    got, errors = filled_in([entry(element)], {"b": {"a": entered}})
    assert got == {"b": {"a": {"type": element["type"], **state}}}
    assert errors == ({"b": error} if error else {})


def test_what_was_not_touched_keeps_its_initial_value():
    blocks = [
        {**entry({**TEXT, "initial_value": "x"}), "block_id": "t"},
        {**entry({**SELECT, "initial_option": OPTIONS[0]}), "block_id": "s"},
        {**entry({**TICKS, "initial_options": OPTIONS}), "block_id": "c"},
    ]
    state, errors = filled_in(blocks, {})
    assert errors == {}
    assert state["t"]["a"]["value"] == "x"
    assert state["s"]["a"]["selected_option"] == OPTIONS[0]
    assert state["c"]["a"]["selected_options"] == OPTIONS


def test_an_optional_field_may_stay_empty():
    assert filled_in([entry(TEXT, optional=True)], {})[1] == {}
