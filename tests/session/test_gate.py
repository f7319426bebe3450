"""What keeps an approved request from being executed, check by check; and what a claim leaves."""

import copy
import dataclasses
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from runbookd.approvals.request import (
    TAKEN_OVER,
    CheckpointRef,
    ConnectorGrant,
    MayTouch,
    RequestDocument,
    document_digest,
)
from runbookd.canonical import sha256
from runbookd.clock import parse_rfc3339, rfc3339
from runbookd.errors import NotApproved, RecordUnwritable
from runbookd.record.redaction import Redactor
from runbookd.record.writer import RecordWriter
from runbookd.session import gate
from runbookd.session.journal import Journal
from runbookd.session.state import Request
from tests.record.world import ALICE, FULL, FaultyFiles, ManualClock, opened
from tests.record.world import Request as Events
from tests.session.world import KEY, policies

NOW = parse_rfc3339("2026-11-24T02:07:31.000000Z")
EXPIRES = "2026-11-24T02:22:31.000000Z"
MICROSECOND = timedelta(microseconds=1)
POLICIES = policies(2)


def document(**changes: Any) -> RequestDocument:
    source = changes.get("source", "resize(40)")
    values: dict[str, Any] = {
        "session": "s-1",
        "runbook_digest": "a" * 64,
        "policy_digest": POLICIES.digest,
        "source": source,
        "source_digest": sha256(source),
        "language": "python",
        "kernelspec": "python3",
        "kernelspec_digest": "c" * 64,
        "inputs": {"target": "40"},
        "outputs": ("changed",),
        "parameters": {"region": '"eu-1"'},
        "connectors": (ConnectorGrant(name="pool", url="https://pool", allow=("POST /pool",)),),
        "may_touch": MayTouch(writable=("/var/log/checkout",), sandbox="full"),
        "environment": "production",
        "service": "checkout",
        "requester": "alice",
        "requester_slack": "U0ALICE",
        "timeout_s": 300,
        "requested_at": rfc3339(NOW),
        "expires_at": EXPIRES,
        "checkpoint": CheckpointRef(size=3, root="d" * 64),
        "nonce": "0123456789abcdef",
    }
    return RequestDocument(**{**values, **changes})


def approved(**changes: Any) -> Request:
    asked = document()
    values: dict[str, Any] = {
        "id": "r-1",
        "cell": "fix",
        "seq": 3,
        "document": asked.model_dump(mode="json"),
        "digest": document_digest(asked),
        "rules": ("all",),
        "groups": ("commanders",),
        "quorum": 2,
        "requested_at": rfc3339(NOW),
        "expires_at": EXPIRES,
        "requester": "alice",
        "state": "approved",
        "approved_by": ("dana", "lee"),
        "decided_by": "lee",
    }
    return Request(**{**values, **changes})


def problems(asked: Request, fresh: RequestDocument | None = None, **other: Any) -> tuple[str, ...]:
    return gate.problems(
        asked, fresh or document(), other.get("policies", POLICIES), other.get("now", NOW)
    )


def test_an_approved_request_that_nothing_changed_may_run() -> None:
    assert problems(approved()) == ()


@pytest.mark.parametrize(
    "state",
    [
        "pending",
        "executing",
        "done",
        "failed",
        "unknown",
        "denied",
        "expired",
        "revoked",
        "superseded",
    ],
)
def test_a_request_in_any_other_state_may_not_run(state: str) -> None:
    assert problems(approved(state=state)) == (f"the request is {state}",)


def test_an_approval_expires_to_the_microsecond() -> None:
    expiry = parse_rfc3339(EXPIRES)
    assert problems(approved(), now=expiry - MICROSECOND) == ()
    for late in (expiry, expiry + MICROSECOND):
        assert problems(approved(), now=late) == (f"the approval expired at {EXPIRES}",)


def test_a_request_whose_digest_was_altered_may_not_run() -> None:
    [why] = problems(approved(digest="0" * 64))
    assert "does not have the digest that was approved" in why
    [why] = problems(approved(digest=document_digest(document())[:8].ljust(64, "0")))
    assert "does not have the digest that was approved" in why


def test_a_document_that_was_altered_in_the_record_may_not_run() -> None:
    other = document(nonce="fedcba9876543210")
    [why] = problems(approved(document=other.model_dump(mode="json")))
    assert "does not have the digest that was approved" in why


def test_an_expiry_that_was_put_off_after_the_request_may_not_run() -> None:
    later = "2026-11-24T23:22:31.000000Z"
    assert problems(approved(expires_at=later)) == ("the expiry was changed after the request",)


ELSEWISE: dict[str, Any] = {
    "session": "s-2",
    "runbook_digest": "1" * 64,
    "policy_digest": "2" * 64,
    "source": "resize(4000)",
    "source_digest": None,  # bound to source: there is no document in which only one differs
    "language": "bash",
    "kernelspec": "python3-fast",
    "kernelspec_digest": "3" * 64,
    "inputs": {"target": "4000"},
    "outputs": ("changed", "more"),
    "parameters": {"region": '"us-1"'},
    "connectors": (ConnectorGrant(name="pool", url="https://pool", allow=("POST /*",)),),
    "may_touch": MayTouch(writable=("/var/log/checkout",), signals=True, sandbox="full"),
    "environment": "staging",
    "service": "billing",
    "requester": "bob",
    "requester_slack": None,
    "timeout_s": 301,
}


def test_the_table_below_has_every_bound_field() -> None:
    assert set(ELSEWISE) == set(RequestDocument.model_fields) - TAKEN_OVER - {"v"}


@pytest.mark.parametrize("field", [name for name in ELSEWISE if name != "source_digest"])
def test_what_was_approved_may_not_run_as_something_else(field: str) -> None:
    found = problems(approved(), document(**{field: ELSEWISE[field]}))
    assert f"{field} changed since it was approved" in found
    assert len(found) == (2 if field == "source" else 1), "and its digest, for the source"


@pytest.mark.parametrize(
    "change",
    [
        {"may_touch": MayTouch(writable=("/",), sandbox="full")},
        {"may_touch": MayTouch(writable=("/var/log/checkout",), sandbox="none")},
        {"connectors": (ConnectorGrant(name="pool", url="https://evil", allow=("POST /pool",)),)},
        {"connectors": ()},
        {"inputs": {}},
        {"inputs": {"target": "40.0"}},
        {"parameters": {"region": '"eu-1"', "more": "1"}},
    ],
)
def test_a_part_of_a_field_counts_as_much_as_the_whole(change: dict[str, Any]) -> None:
    [name] = change
    assert problems(approved(), document(**change)) == (f"{name} changed since it was approved",)


@pytest.mark.parametrize("field", sorted(TAKEN_OVER - {"expires_at"}))
def test_when_a_request_was_made_is_not_what_would_run(field: str) -> None:
    values: dict[str, Any] = {
        "requested_at": "2026-11-24T02:09:00.000000Z",
        "nonce": "fedcba9876543210",
        "checkpoint": CheckpointRef(size=9, root="e" * 64),
    }
    assert problems(approved(), document(**{field: values[field]})) == ()


@pytest.mark.parametrize("requester", ["alice", "os:alice", "slack:U0ALICE"])
@pytest.mark.parametrize("approver", ["alice", "os:alice", "slack:U0ALICE"])
def test_nobody_approves_their_own_request_under_whatever_name(
    requester: str, approver: str
) -> None:
    asked = document(requester=requester)
    found = problems(
        approved(
            requester=requester,
            document=asked.model_dump(mode="json"),
            digest=document_digest(asked),
            approved_by=("dana", "lee", approver),
        ),
        asked,
    )
    assert found == ("the requester is among those who approved",)


@pytest.mark.parametrize(
    "approvers",
    [
        ("dana",),
        ("dana", "dana"),
        ("bob", "slack:U0BOB"),
        ("slack:U0BOB", "slack:U0BOBPHONE"),
        ("os:bob", "slack:U0BOBPHONE"),
    ],
)
def test_a_quorum_counts_people_and_not_their_accounts(approvers: tuple[str, ...]) -> None:
    assert problems(approved(approved_by=approvers)) == ("1 of 2 people approved",)


def test_more_than_the_quorum_is_enough() -> None:
    assert problems(approved(approved_by=("dana", "lee", "bob"))) == ()


@pytest.mark.parametrize("quorum", [0, -1])
def test_a_quorum_of_nobody_still_wants_one_person(quorum: int) -> None:
    [why] = problems(approved(quorum=quorum, approved_by=()))
    assert "people approved" in why
    assert problems(approved(quorum=quorum, approved_by=("dana",))) == ()


def test_everything_that_is_wrong_is_named() -> None:
    found = problems(
        approved(state="denied", approved_by=()),
        document(service="billing"),
        now=parse_rfc3339(EXPIRES),
    )
    assert len(found) == 4


def test_a_document_that_is_none_is_not_read_as_one() -> None:
    with pytest.raises(ValueError, match="validation error"):
        problems(approved(document={"source": "resize(40)"}))


# ---- claims ----------------------------------------------------------------------------------


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def files() -> FaultyFiles:
    return FaultyFiles()


@pytest.fixture
async def journal(tmp_path: Path, clock: ManualClock, files: FaultyFiles) -> AsyncIterator[Journal]:
    """A session with a request that dana and lee have approved."""
    writer = await RecordWriter.create(
        tmp_path, log="host/runbookd/s-1", key=KEY, clock=clock, redactor=Redactor(), files=files
    )
    made = Journal(writer, tmp_path / "record.jsonl")
    await made.append(opened(writer.vkey), actor=ALICE)
    asked = document()
    events = Events(clock, quorum=2)
    events.document, events.digest = asked.model_dump(mode="json"), document_digest(asked)
    events.expires_at = EXPIRES
    await made.append(
        events.requested(),
        events.decided("dana", complete=False),
        events.decided("lee"),
        actor=ALICE,
    )
    yield made
    await writer.close()


async def claim(journal: Journal, fresh: RequestDocument | None = None) -> gate.Claim:
    return await gate.claim(
        journal,
        "r-1",
        fresh or document(),
        execution="x-1",
        actor=ALICE,
        now=NOW,
        policies=POLICIES,
    )


def written(folder: Path) -> list[bytes]:
    return (folder / "record.jsonl").read_bytes().splitlines()


async def test_a_claim_is_on_the_disk_with_its_start_before_anybody_holds_it(
    journal: Journal, tmp_path: Path, files: FaultyFiles
) -> None:
    before = len(written(tmp_path))
    files.calls.clear()
    made = await claim(journal)
    lines = written(tmp_path)[before:]
    assert [b'"approval.claimed"' in line for line in lines] == [True, False]
    assert [b'"cell.started"' in line for line in lines] == [False, True]
    assert files.calls.count("write") == files.calls.count("fsync") == 1, "together or not at all"
    assert journal.state.requests["r-1"].state == "executing"
    assert journal.state.requests["r-1"].execution == made.execution == "x-1"
    assert journal.state.running == "x-1"
    assert (made.request, made.cell) == ("r-1", "fix")
    assert made.document == document()


async def test_an_approval_is_claimed_once(journal: Journal, tmp_path: Path) -> None:
    await claim(journal)
    before = written(tmp_path)
    with pytest.raises(NotApproved, match="the request is executing"):
        await claim(journal)
    assert written(tmp_path) == before


async def test_a_claim_that_is_refused_leaves_nothing_in_the_record(
    journal: Journal, tmp_path: Path
) -> None:
    before = written(tmp_path)
    with pytest.raises(NotApproved, match="source changed since it was approved") as told:
        await claim(journal, document(source="resize(4000)"))
    assert told.value.exit_code == 3
    assert written(tmp_path) == before
    assert journal.state.requests["r-1"].state == "approved"


async def test_a_claim_that_cannot_be_recorded_is_none(
    journal: Journal, files: FaultyFiles
) -> None:
    files.fail["write"] = [FULL]
    with pytest.raises(RecordUnwritable):
        await claim(journal)
    assert journal.state.requests["r-1"].state == "approved"
    assert journal.state.running is None
    with pytest.raises(RecordUnwritable):
        await claim(journal)


async def test_what_is_claimed_is_the_document_of_the_record_not_the_fresh_one(
    journal: Journal,
) -> None:
    made = await claim(journal, document(nonce="fedcba9876543210"))
    assert made.document.nonce == "0123456789abcdef"


async def test_nobody_makes_a_claim_but_the_gate(journal: Journal) -> None:
    with pytest.raises(TypeError, match="gate"):
        gate.Claim("r-1", "fix", "x-1", document(), object())
    with pytest.raises(TypeError):
        gate.Claim("r-1", "fix", "x-1", document())  # type: ignore[call-arg]
    made = await claim(journal)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(made, document=document(source="rm -rf /"))
    with pytest.raises(AttributeError):
        made.document = document(source="rm -rf /")  # type: ignore[misc]
    assert copy.copy(made).document == made.document
