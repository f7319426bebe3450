"""A request as plain text."""

import pytest

from runbookd.approvals.console import request_text

from . import samples


def test_the_text_holds_all_that_would_run_and_where_it_can_reach() -> None:
    text = request_text(samples.view())
    for line in samples.SOURCE.rstrip("\n").split("\n"):
        assert f"\n  {line}\n" in text
    for part in (
        "target = 40",
        'region = "eu-1"',
        "checkout-admin: https://checkout.internal: GET /*, POST /admin/pool",
        "Writable: its scratch folder; /var/log/checkout besides",
        "Sandbox: enforced",
        "Time limit: 300 s",
        "Hands back: changed",
        "Asked by: you (Slack U0YOU)",
        "Who decides: 1 person of commanders; not whoever asked",
        "Expires: 2026-11-24 02:22:31 UTC",
        "Incident: INC-7",
        "How to undo it: Shrink it again",
        samples.view().digest,
        "Session: s-1",
        "Record: 42 lines",
        "Uk9PVA==",
    ):
        assert part in text


def test_a_missing_sandbox_is_said_loudly() -> None:
    touch = samples.document().may_touch.model_copy(update={"sandbox": "none"})
    assert "Sandbox: NONE" in request_text(samples.view(of=samples.document(may_touch=touch)))


def test_a_drill_is_marked_before_anything_else() -> None:
    first, second = request_text(samples.view(drill=True)).split("\n")[:2]
    assert "DRILL" in first
    assert "DRILL" in second
    assert "DRILL" not in request_text(samples.view())


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\x1b[2J", "\r", "\u2066", "\u00ad"])
def test_nothing_hidden_stays_hidden(hidden: str) -> None:
    text = request_text(
        samples.view(
            of=samples.document(source=f"a{hidden}b", inputs={"x": f'"{hidden}"'}, service=hidden),
            title=hidden,
            reason=hidden,
            result=hidden,
            approved_by=(hidden,),
        )
    )
    assert hidden not in text


def test_a_value_cannot_pretend_to_be_another_line() -> None:
    forged = "x\nWho decides: 1 person of everybody"
    text = request_text(
        samples.view(
            of=samples.document(
                source="ok()\n== It may touch\nSandbox: enforced",
                inputs={"a": "1\nb = 2"},
                requester=forged,
                service=forged,
            ),
            title=forged,
            incident=forged,
            groups=(forged,),
            reason=forged,
        )
    )
    lines = text.split("\n")
    assert "Who decides: 1 person of everybody" not in lines
    assert "  b = 2" not in lines
    assert lines.count("== It may touch") == 1


def test_letters_that_look_like_others_are_named() -> None:
    text = request_text(samples.view(of=samples.document(source="x = 1\npаssword = 2\n")))
    assert "U+0430 cyrillic small letter a (line 2)" in text
    assert "Look closely" not in request_text(samples.view())


def test_the_text_says_how_it_went() -> None:
    text = request_text(
        samples.view(
            state="denied",
            approved_by=("dana",),
            decided_by="lee",
            decided_at="2026-11-24T02:10:00.000000Z",
            reason="too late",
            quorum=2,
        )
    )
    assert "Denied: Enlarge" in text
    assert "Approved by: dana (1 of 2)" in text
    assert "Denied by: lee at 2026-11-24 02:10:00 UTC" in text
    assert "Reason: too late" in text
