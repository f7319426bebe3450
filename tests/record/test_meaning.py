"""Nothing gated ran without its own valid claim of a valid approval, and the report knows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd.canonical import digest
from runbookd.events import (
    DAEMON,
    Actor,
    ApprovalExpired,
    ApprovalRevoked,
    CellStarted,
    ConnectorData,
    ConnectorRequested,
    Event,
    ReasonData,
    Recovered,
    RecoveredData,
    RevokedData,
    StartedData,
)
from runbookd.record.redaction import Redactor
from runbookd.record.report import Report
from runbookd.record.verify import verify

from .world import ALICE, DANA, Forger, ManualClock, Request, closed, start

ERIN = Actor(kind="person", id="erin", auth="slack")
Step = tuple[Event, Actor] | Callable[[], None]


class Story:
    """Writes a session step by step and verifies it."""

    def __init__(self, folder: Path, key: Ed25519PrivateKey) -> None:
        self.folder = folder
        self.key = key
        self.clock = ManualClock()
        self.request = Request(self.clock)

    async def report(self, *steps: Step, redactor: Redactor | None = None) -> Report:
        writer = await start(self.folder, self.key, self.clock, redactor=redactor)
        for step in steps:
            if callable(step):
                step()
            else:
                await writer.append(step[0], actor=step[1])
        await writer.append(*self.request.ended(), closed(), actor=DAEMON)
        await writer.checkpoint()
        await writer.close()
        return verify(self.folder)

    async def faults(self, *steps: Step) -> set[str]:
        report = await self.report(*steps)
        found = {f.kind for f in report.findings if f.severity == "fault"}
        assert report.ok is not bool(found)
        assert all(f.area == "meaning" for f in report.findings if f.severity == "fault")
        return found


@pytest.fixture
def story(tmp_path: Path, key: Ed25519PrivateKey) -> Story:
    return Story(tmp_path, key)


async def test_an_approved_run_is_sound(story: Story) -> None:
    r = story.request
    assert (
        await story.faults(
            (r.requested(), ALICE), (r.decided(), DANA), (r.claimed(), ALICE), (r.started(), ALICE)
        )
        == set()
    )


async def test_a_gated_start_without_a_claim(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(), ALICE), (r.decided(), DANA), (r.started(), ALICE)
    ) == {"unclaimed"}


async def test_a_gated_start_before_its_claim(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(), ALICE), (r.decided(), DANA), (r.started(), ALICE), (r.claimed(), ALICE)
    ) == {"unclaimed"}


async def test_one_claim_serves_one_start(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(), ALICE),
        (r.decided(), DANA),
        (r.claimed(), ALICE),
        (r.started(), ALICE),
        (r.started(), ALICE),
    ) == {"unclaimed"}


async def test_one_approval_serves_one_claim(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(), ALICE),
        (r.decided(), DANA),
        (r.claimed(), ALICE),
        (r.started(), ALICE),
        (r.claimed(execution="x-2"), ALICE),
        (r.started(execution="x-2"), ALICE),
    ) == {"claimed-twice"}


async def test_a_claim_of_nothing(story: Story) -> None:
    r = story.request
    assert await story.faults((r.claimed(), ALICE)) == {"claim-without-request"}


async def test_a_claim_that_nobody_approved(story: Story) -> None:
    r = story.request
    assert await story.faults((r.requested(), ALICE), (r.claimed(), ALICE)) == {
        "claim-not-approved"
    }


async def test_a_quorum_of_nobody_still_needs_one(story: Story) -> None:
    r = story.request
    assert await story.faults((r.requested(quorum=0), ALICE), (r.claimed(), ALICE)) == {
        "claim-not-approved"
    }


async def test_one_person_twice_is_no_quorum_of_two(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(quorum=2), ALICE),
        (r.decided(), DANA),
        (r.decided(), DANA),
        (r.claimed(), ALICE),
    ) == {"claim-not-approved"}


async def test_two_people_are(story: Story) -> None:
    r = story.request
    assert (
        await story.faults(
            (r.requested(quorum=2), ALICE),
            (r.decided(), DANA),
            (r.decided("erin"), ERIN),
            (r.claimed(), ALICE),
        )
        == set()
    )


async def test_the_requester_does_not_decide(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(), ALICE), (r.decided("alice"), ALICE), (r.claimed(), ALICE)
    ) == {"self-decision", "claim-not-approved"}


async def test_the_requester_does_not_decide_under_another_name(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(), ALICE), (r.decided("dana"), ALICE), (r.claimed(), ALICE)
    ) == {"self-decision", "claim-not-approved"}


async def test_a_decision_on_nothing(story: Story) -> None:
    assert await story.faults((story.request.decided(), DANA)) == {"decision-without-request"}


async def test_a_decision_on_something_else_does_not_count(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(), ALICE), (r.decided(digest="1" * 64), DANA), (r.claimed(), ALICE)
    ) == {"decision-of-other-digest", "claim-not-approved"}


@pytest.mark.parametrize(
    "end",
    [
        lambda r: r.decided("erin", decision="deny"),
        lambda r: ApprovalExpired(cell="fix", request=r.name, data=ReasonData(reason="time")),
        lambda r: ApprovalRevoked(cell="fix", request=r.name, data=RevokedData(reason="no")),
    ],
    ids=["denied", "expired", "revoked"],
)
@pytest.mark.parametrize("first", [True, False])
async def test_a_request_that_is_over_stays_over(
    story: Story, end: Callable[[Request], Event], first: bool
) -> None:
    r = story.request
    decisions: list[Step] = [(r.decided(), DANA), (end(r), ERIN)]
    if first:
        decisions.reverse()
    assert await story.faults((r.requested(), ALICE), *decisions, (r.claimed(), ALICE)) == {
        "claim-not-approved"
    }


async def test_a_claim_at_the_moment_of_expiry_is_late(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(), ALICE),
        (r.decided(), DANA),
        lambda: story.clock.forward(minutes=15),
        (r.claimed(), ALICE),
    ) == {"claim-late"}


async def test_a_claim_a_millisecond_before_is_not(story: Story) -> None:
    r = story.request
    assert (
        await story.faults(
            (r.requested(), ALICE),
            (r.decided(), DANA),
            lambda: story.clock.forward(minutes=15, milliseconds=-1),
            (r.claimed(), ALICE),
        )
        == set()
    )


async def test_a_decision_after_the_expiry_does_not_count(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(), ALICE),
        lambda: story.clock.forward(minutes=15),
        (r.decided(), DANA),
        (r.claimed(), ALICE),
    ) == {"claim-not-approved", "claim-late"}


async def test_a_clock_set_back_does_not_lengthen_an_approval(story: Story) -> None:
    r = story.request
    begin = story.clock.time

    def set_back() -> None:
        story.clock.forward(minutes=20)
        story.clock.time = begin

    assert await story.faults(
        (r.requested(), ALICE), (r.decided(), DANA), set_back, (r.claimed(), ALICE)
    ) == {"claim-late"}


async def test_a_reboot_does_not_lengthen_an_approval(story: Story) -> None:
    r = story.request

    def reboot(minutes: int) -> Callable[[], None]:
        def run() -> None:
            story.clock.forward(minutes=minutes)
            story.clock.name, story.clock.mono = f"boot-{minutes}", 10**15

        return run

    assert (
        await story.faults(
            (r.requested(), ALICE),
            (r.decided(), DANA),
            reboot(14),
            (r.claimed(), ALICE),
            (r.started(), ALICE),
        )
        == set()
    )
    again = Story(story.folder / "again", story.key)
    r = again.request

    def later() -> None:
        again.clock.forward(minutes=15)
        again.clock.name, again.clock.mono = "boot-2", 5

    assert await again.faults(
        (r.requested(), ALICE), (r.decided(), DANA), later, (r.claimed(), ALICE)
    ) == {"claim-late"}


@pytest.mark.parametrize("number", [1, 3])
async def test_a_line_whose_time_cannot_be_read_is_late(story: Story, number: int) -> None:
    r = story.request
    await story.report((r.requested(), ALICE), (r.decided(), DANA), (r.claimed(), ALICE))
    forger = Forger(story.folder)
    forger.edit(number, lambda value: value.update(ts="yesterday"))
    forger.reseal(story.key)
    found = {f.kind for f in verify(story.folder).findings if f.severity == "fault"}
    assert "claim-late" in found


async def test_a_request_without_a_name(story: Story) -> None:
    nameless = story.request.requested().model_copy(update={"request": None})
    assert await story.faults((nameless, ALICE)) == {"request-twice"}


async def test_one_execution_does_not_use_two_approvals(story: Story) -> None:
    first, second = story.request, Request(story.clock, "r-2")
    assert await story.faults(
        (first.requested(), ALICE),
        (second.requested(), ALICE),
        (first.decided(), DANA),
        (second.decided(), DANA),
        (first.claimed(), ALICE),
        (second.claimed(execution=first.execution), ALICE),
    ) == {"claimed-twice"}


async def test_the_end_of_an_unknown_request_is_nobodys_end(story: Story) -> None:
    over = ApprovalExpired(cell="fix", request="r-9", data=ReasonData(reason="time"))
    assert await story.faults((over, DAEMON)) == set()


async def test_a_document_that_was_redacted_before_it_was_digested_is_proved(
    story: Story,
) -> None:
    r = story.request
    r.document["note"] = "[redacted:pw]"
    r.digest = digest(r.document)
    redactor = Redactor({"pw": "hunter2-hunter2"})
    report = await story.report((r.requested(), ALICE), redactor=redactor)
    assert "request-redacted" not in {f.kind for f in report.findings}


async def test_an_expiry_that_is_no_time_has_passed(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(expires_at="never"), ALICE), (r.decided(), DANA), (r.claimed(), ALICE)
    ) == {"claim-late", "claim-not-approved"}


async def test_a_claim_of_another_digest(story: Story) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(), ALICE), (r.decided(), DANA), (r.claimed(digest="1" * 64), ALICE)
    ) == {"claim-of-other-digest"}


async def test_a_document_that_is_not_what_was_digested(story: Story) -> None:
    r = story.request
    changed = {**r.document, "source": "drop_tables()"}
    assert await story.faults((r.requested(document=changed), ALICE)) == {"request-digest"}


async def test_a_redacted_document_is_not_proved(story: Story) -> None:
    r = story.request
    r.document["parameters"] = {"password": "hunter2-hunter2"}
    r.digest = digest(r.document)
    report = await story.report(
        (r.requested(), ALICE), redactor=Redactor({"pw": "hunter2-hunter2"})
    )
    assert report.ok
    assert "request-redacted" in {f.kind for f in report.findings if f.severity == "unproved"}


async def test_two_requests_of_one_name(story: Story) -> None:
    r = story.request
    assert await story.faults((r.requested(), ALICE), (r.requested(), ALICE)) == {"request-twice"}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"source_digest": "1" * 64}, "other-source"),
        ({"cell": "other"}, "other-cell"),
        ({"request": None}, "other-cell"),
        ({"request": "r-9"}, "other-cell"),
    ],
)
async def test_something_else_than_was_approved_started(
    story: Story, changes: dict[str, Any], kind: str
) -> None:
    r = story.request
    assert await story.faults(
        (r.requested(), ALICE),
        (r.decided(), DANA),
        (r.claimed(), ALICE),
        (r.started(**changes), ALICE),
    ) == {kind}


async def test_a_document_without_a_source_digest_approves_no_source(story: Story) -> None:
    r = story.request
    del r.document["source_digest"]
    r.digest = digest(r.document)
    assert await story.faults(
        (r.requested(), ALICE), (r.decided(), DANA), (r.claimed(), ALICE), (r.started(), ALICE)
    ) == {"other-source"}


async def test_a_gated_cell_in_the_read_only_lane(story: Story) -> None:
    assert await story.faults((story.request.started(lane="read-only"), ALICE)) == {"wrong-lane"}


async def test_what_never_ended_is_said(story: Story) -> None:
    def run(name: str) -> CellStarted:
        data = StartedData(execution=name, lane="read-only", source_digest="0" * 64, timeout_s=1)
        return CellStarted(cell="look", data=data)

    found = Recovered(data=RecoveredData(executions=("a",)))
    report = await story.report((run("a"), ALICE), (run("b"), ALICE), (found, DAEMON))
    assert [(f.seq, f.severity) for f in report.findings if f.kind == "unended"] == [
        (2, "unproved")
    ]
    assert report.ok


async def test_connector_requests_are_said_not_to_be_checked(story: Story) -> None:
    data = ConnectorData(
        execution="x", lane="gated", connector="c", method="GET", path="/", status=200, bytes=1,
        duration_ms=1,
    )  # fmt: skip
    report = await story.report((ConnectorRequested(data=data), DAEMON))
    [found] = [f for f in report.findings if f.kind == "not-checked"]
    assert found.text.startswith("1 requests through connectors")
