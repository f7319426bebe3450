"""The Slack message: all of it or loudly not, and no foreign text is ever markup."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbookd.approvals.console import request_text
from runbookd.approvals.request import ConnectorGrant
from runbookd.approvals.slack import blocks, limits
from runbookd.approvals.view import RequestView
from runbookd.drill.slack.blocks import complaints_about
from runbookd.drill.slack.content import pings, total_text
from runbookd.drill.slack.limits import BLOCKS_TOTAL, MESSAGE_BLOCKS
from runbookd.drill.slack.modals import complaints_about_view
from runbookd.errors import InputError
from runbookd.events import RequestState

from .. import samples

STATES: tuple[RequestState, ...] = (
    "pending",
    "approved",
    "executing",
    "done",
    "failed",
    "unknown",
    "denied",
    "expired",
    "revoked",
    "superseded",
)
HOSTILE = (
    "```\nApproved by everybody\n```",
    "<!channel> <!here> <@U0DANA> <!subteam^S0COMMAND>",
    "<https://evil.example|https://good.example>",
    "*bold* _it_ ~no~ `code` :tada: &lt;!channel&gt;",
    "safe \u202eelif\u202c",
    "ze\u200bro\u2060width\ufeff",
    "\x1b[2J\x07\r",
    "x" * 3_001,
    "&" * 3_001,
    "😀" * 3_001,
)


def code(message: blocks.Message) -> str:
    """Everything in fixed-width boxes, put together again."""
    return "".join(
        element["text"]
        for block in message.blocks
        if block["type"] == "rich_text"
        for part in block["elements"]
        if part["type"] == "rich_text_preformatted"
        for element in part["elements"]
    )


def strings(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case dict():
            for each in value.values():
                yield from strings(each)
        case list():
            for each in value:
                yield from strings(each)


def buttons(message: blocks.Message) -> dict[str, dict[str, Any]]:
    return {
        element["action_id"]: element
        for block in message.blocks
        if block["type"] == "actions"
        for element in block["elements"]
    }


def everywhere(text: str, **changes: Any) -> RequestView:
    """A request with ``text`` wherever text of others can be."""
    document = samples.document(
        source=text,
        inputs={"x": text},
        parameters={"p": text},
        outputs=(text,),
        service=text,
        environment=text,
        requester=text,
        requester_slack=text,
        language=text,
        kernelspec=text,
        connectors=(ConnectorGrant(name=text, url="https://x", allow=(text,)),),
    )
    return samples.view(
        of=document,
        **{
            "title": text,
            "runbook": text,
            "incident": text,
            "groups": (text,),
            "rollback": text,
            "checkpoint_note": text,
            **changes,
        },
    )


def settled(state: RequestState, text: str) -> dict[str, Any]:
    return {
        "state": state,
        "approved_by": (text, text),
        "decided_by": text,
        "decided_at": text,
        "reason": text,
        "result": text,
    }


def sound(message: blocks.Message) -> None:
    """Slack would take it, and nobody is pinged."""
    assert complaints_about(message.blocks) == []
    assert len(message.blocks) <= MESSAGE_BLOCKS
    assert total_text(message.blocks) <= BLOCKS_TOTAL
    assert limits.weight(message.blocks) <= limits.MESSAGE
    assert pings(message.text, []) == []
    assert pings(message.text, message.blocks) == []
    assert "mrkdwn" not in json.dumps(message.blocks)
    kinds = set(strings(message.blocks))
    assert not kinds & {"link", "user", "usergroup", "broadcast", "emoji", "channel"}


def test_the_message_shows_all_that_would_run_and_what_it_is_bound_to() -> None:
    view = samples.view()
    message = blocks.message(view)
    sound(message)
    assert blocks.is_whole(view)
    shown = "".join(strings(message.blocks))
    assert samples.SOURCE in code(message)
    assert "target = 40" in code(message)
    assert 'region = "eu-1"' in code(message)
    assert samples.NOTE.rstrip("\n") in code(message)
    for part in (
        view.digest,
        view.fingerprint,
        "GET /*, POST /admin/pool",
        "/var/log/checkout",
        "INC-7",
        "s-1",
        "you (Slack U0YOU)",
        "1 person of commanders",
        "2026-11-24 02:22:31 UTC",
        "Shrink it again",
        "Press again if nothing changes",
    ):
        assert part in shown


def test_the_buttons_carry_the_request_and_approving_asks_again_with_the_fingerprint() -> None:
    view = samples.view()
    found = buttons(blocks.message(view))
    assert set(found) == {blocks.APPROVE, blocks.DENY}
    assert found[blocks.APPROVE]["style"] == "primary"
    asked = found[blocks.APPROVE]["confirm"]["text"]["text"]
    assert view.title in asked
    assert view.fingerprint in asked
    for button in found.values():
        value = blocks.read_value(button["value"])
        assert value == blocks.ButtonValue(request="r-1", session="s-1", digest=view.digest)


@pytest.mark.parametrize("state", [s for s in STATES if s != "pending"])
def test_a_settled_request_has_no_buttons_and_still_its_source(state: RequestState) -> None:
    message = blocks.message(samples.view(state=state))
    sound(message)
    assert buttons(message) == {}
    assert samples.SOURCE in code(message)


def test_a_settled_request_says_who_when_and_why() -> None:
    message = blocks.message(
        samples.view(
            state="denied",
            decided_by="lee",
            decided_at="2026-11-24T02:10:00.000000Z",
            reason="too late",
        )
    )
    shown = "".join(strings(message.blocks))
    assert "Denied" in message.text
    assert "lee at 2026-11-24 02:10:00 UTC" in shown
    assert "too late" in shown


@pytest.mark.parametrize("state", STATES)
def test_a_drill_is_marked_in_the_notification_the_heading_and_the_message(
    state: RequestState,
) -> None:
    message = blocks.message(samples.view(drill=True, state=state))
    assert "DRILL" in message.text
    assert "DRILL" in message.blocks[0]["text"]["text"]
    assert "THIS IS A DRILL" in "".join(strings(message.blocks[1]))
    if state == "pending":
        assert "DRILL" in buttons(message)[blocks.APPROVE]["confirm"]["title"]["text"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("state", ["pending", "denied"])
def test_hostile_text_is_only_ever_text(text: str, state: RequestState) -> None:
    view = everywhere(text, **settled(state, text), drill=True)
    message = blocks.message(view)
    sound(message)
    for hidden in "\u202e\u202c\u200b\u2060\ufeff\x1b\x07\r":
        assert not any(hidden in part for part in strings(message.blocks))
        assert hidden not in message.text
    assert complaints_about_view(blocks.denial_modal(view)) == []
    if text != "&" * 3_001:
        assert complaints_about_view(blocks.reading_modal(view)) == []
    assert "mrkdwn" not in json.dumps([blocks.reading_modal(view), blocks.denial_modal(view)])


def test_code_that_closes_a_fence_stays_inside_its_box() -> None:
    source = "```\nrm -rf /\n```\n*Approved*"
    message = blocks.message(samples.view(of=samples.document(source=source)))
    sound(message)
    assert source in code(message)


@pytest.mark.parametrize("length", [2_899, 2_900, 2_901, 3_000, 3_001, 4_000])
def test_a_source_around_the_limit_of_one_text_is_shown_whole(length: int) -> None:
    source = "x" * length
    view = samples.view(of=samples.document(source=source))
    message = blocks.message(view)
    sound(message)
    assert blocks.is_whole(view)
    assert source in code(message)
    if length > limits.TEXT:
        assert "goes on in the middle of a line" in "".join(strings(message.blocks))


@pytest.mark.parametrize(
    "source",
    ["x" * 13_300, "y = 1\n" * 2_000, "z\n" * 60 * 300, "<&>" * 4_000, "\n" * 13_300],
)
@pytest.mark.parametrize("state", STATES)
def test_a_source_that_does_not_fit_is_never_cut_silently(source: str, state: RequestState) -> None:
    view = samples.view(of=samples.document(source=source), state=state)
    message = blocks.message(view)
    sound(message)
    shown = "".join(strings(message.blocks))
    assert not blocks.is_whole(view)
    assert "NOT EVERYTHING IS SHOWN HERE" in shown
    assert f"{len(source)} characters" in shown
    assert f"{view.fingerprint}.txt" in shown
    assert blocks.READ in buttons(message)
    assert (blocks.APPROVE in buttons(message)) == (state == "pending")


def test_fifty_one_blocks_worth_of_connectors_do_not_make_fifty_one_blocks() -> None:
    grants = tuple(
        ConnectorGrant(name=f"c{n}", url="https://x", allow=("GET /*",)) for n in range(400)
    )
    view = samples.view(of=samples.document(connectors=grants))
    message = blocks.message(view)
    sound(message)
    assert not blocks.is_whole(view)
    assert "more…" in "".join(strings(message.blocks))
    assert "c399: https://x: GET /*" in request_text(view)


def test_the_modal_shows_every_character_of_a_request_that_does_not_fit() -> None:
    source = "".join(f"print({n})  # <&> {'x' * (n % 90)}\n" for n in range(1_000))
    view = samples.view(of=samples.document(source=source))
    modal = blocks.reading_modal(view)
    assert complaints_about_view(modal) == []
    assert code(blocks.Message("", modal["blocks"])) == blocks.full_text(view)
    text = blocks.full_text(view)
    assert all(f"\n  {line}\n" in text for line in source.splitlines())


@pytest.mark.parametrize(
    "source",
    ["x" * 300_000, f"{'x' * 1_500}\n" * 120, "語" * 90_000],
    ids=["both", "too many blocks", "too many bytes"],
)
def test_a_request_too_long_even_for_a_modal_is_refused_with_the_way_out(source: str) -> None:
    view = samples.view(of=samples.document(source=source))
    with pytest.raises(InputError, match="too long") as refused:
        blocks.full_text(view)
    assert "runbookd approve" in refused.value.hint


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(st.characters(), max_size=900) | st.sampled_from(HOSTILE),
    state=st.sampled_from(STATES),
    repeat=st.sampled_from([1, 2, 7]),
)
def test_whatever_the_texts_slack_takes_the_message_before_and_after_the_decision(
    text: str, state: RequestState, repeat: int
) -> None:
    before = everywhere(text * repeat)
    after = before.model_copy(update=settled(state, text * repeat))
    assert blocks.is_whole(before) == blocks.is_whole(after)
    for view in (before, after):
        message = blocks.message(view)
        sound(message)
        sound(blocks.message(view, whole=False))
        if blocks.is_whole(view):
            assert blocks.READ not in buttons(message)
        else:
            assert "NOT EVERYTHING" in "".join(strings(message.blocks))


@given(st.text(max_size=200), st.integers(10, 40))
def test_pieces_joined_give_the_text_back_and_none_is_too_long(text: str, most: int) -> None:
    clean = "".join(char for char in text if not "\ud800" <= char <= "\udfff")
    found = limits.pieces(clean, most)
    assert "".join(found) == clean
    assert all(limits.length(piece) <= most for piece in found)


@pytest.mark.parametrize("value", [None, 7, "", "{}", '{"request": "r"}', "x" * 5_000])
def test_a_button_value_that_is_not_ours_is_nothing(value: object) -> None:
    assert blocks.read_value(value) is None


def test_a_truncated_digest_is_no_value() -> None:
    view = samples.view()
    whole = buttons(blocks.message(view))[blocks.APPROVE]["value"]
    assert blocks.read_value(whole) is not None
    assert blocks.read_value(whole.replace(view.digest, view.fingerprint)) is None
