"""What an approval binds, and what it does not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runbookd.approvals.request import (
    TAKEN_OVER,
    CheckpointRef,
    ConnectorGrant,
    MayTouch,
    RequestDocument,
    document_digest,
    fingerprint,
    matches,
)
from runbookd.canonical import sha256
from runbookd.errors import InputError

from . import samples

GRANT = samples.document().connectors[0]
OTHER: dict[str, Any] = {
    "session": "s-2",
    "runbook_digest": "e" * 64,
    "policy_digest": "e" * 64,
    "source": samples.SOURCE + " ",
    "language": "bash",
    "kernelspec": "bash",
    "kernelspec_digest": "e" * 64,
    "inputs": {"target": "41"},
    "outputs": (),
    "parameters": {"region": '"eu-2"'},
    "connectors": (GRANT.model_copy(update={"allow": ("GET /*", "POST /*")}),),
    "may_touch": MayTouch(writable=("/var/log/checkout",), signals=True, sandbox="full"),
    "environment": "staging",
    "service": "payments",
    "requester": "max",
    "requester_slack": None,
    "timeout_s": 301,
    "requested_at": "2026-11-24T02:07:32.000000Z",
    "expires_at": "2026-11-24T02:22:32.000000Z",
    "checkpoint": CheckpointRef(size=43, root="d" * 64),
    "nonce": "1123456789abcdef",
}


def test_the_table_of_changes_covers_every_field_of_the_document() -> None:
    assert set(OTHER) | {"v", "source_digest"} == set(RequestDocument.model_fields)


def test_only_what_says_when_it_was_asked_is_not_bound() -> None:
    assert {"requested_at", "expires_at", "nonce", "checkpoint"} == TAKEN_OVER


@pytest.mark.parametrize("name", sorted(OTHER))
def test_a_change_of_any_field_changes_the_digest(name: str) -> None:
    changed = samples.document(**{name: OTHER[name]})
    assert document_digest(changed) != document_digest(samples.document())


@pytest.mark.parametrize("name", sorted(set(OTHER) - TAKEN_OVER))
def test_a_change_of_any_bound_field_is_named_at_execution_time(name: str) -> None:
    changed = matches(samples.document(), samples.document(**{name: OTHER[name]}))
    assert name in changed
    assert set(changed) <= {name, "source_digest"}


@pytest.mark.parametrize("name", sorted(TAKEN_OVER))
def test_when_it_was_asked_does_not_stop_an_execution(name: str) -> None:
    assert matches(samples.document(), samples.document(**{name: OTHER[name]})) == []


@pytest.mark.parametrize(
    "touch",
    [
        MayTouch(writable=(), sandbox="full"),
        MayTouch(writable=("/var/log/checkout",), endpoints=("db:5432",), sandbox="full"),
        MayTouch(writable=("/var/log/checkout",), unix_sockets=("/run/d",), sandbox="full"),
        MayTouch(writable=("/var/log/checkout",), sandbox="process"),
    ],
)
def test_every_opening_of_the_sandbox_is_bound(touch: MayTouch) -> None:
    assert matches(samples.document(), samples.document(may_touch=touch)) == ["may_touch"]


@pytest.mark.parametrize("change", [{"name": "other"}, {"url": "https://other"}, {"allow": ()}])
def test_every_part_of_a_connector_is_bound(change: dict[str, Any]) -> None:
    other = samples.document(connectors=(GRANT.model_copy(update=change),))
    assert matches(samples.document(), other) == ["connectors"]


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(max_size=20)))
def test_equal_documents_have_equal_digests_in_whatever_order_they_were_made(
    inputs: dict[str, str],
) -> None:
    try:
        digest = document_digest(samples.document(inputs=inputs))
    except InputError:
        # Only a lone surrogate cannot be said in canonical JSON.
        assert any("\ud800" <= char <= "\udfff" for text in inputs.values() for char in text)
        return
    turned = dict(reversed(inputs.items()))
    assert document_digest(samples.document(inputs=turned)) == digest


@given(st.text(max_size=30), st.text(max_size=30))
def test_inputs_that_differ_have_digests_that_differ(one: str, two: str) -> None:
    first, second = samples.document(inputs={"x": one}), samples.document(inputs={"x": two})
    assert (document_digest(first) == document_digest(second)) == (one == two)


def test_a_document_survives_the_record_with_its_digest() -> None:
    document = samples.document()
    again = RequestDocument.model_validate(document.model_dump(mode="json"))
    assert again == document
    assert document_digest(again) == document_digest(document)


def test_the_fingerprint_is_the_start_of_the_digest() -> None:
    digest = document_digest(samples.document())
    assert fingerprint(digest) == digest[:8] == samples.view().fingerprint


def test_a_source_that_is_not_what_its_digest_says_is_refused() -> None:
    with pytest.raises(ValidationError, match="source_digest"):
        samples.document(source_digest=sha256("something harmless"))


@pytest.mark.parametrize("url", ["https://u:p@host/", "https://token@host"])
def test_a_connector_address_with_credentials_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="credentials"):
        samples.document(connectors=(ConnectorGrant(name="x", url=url, allow=()),))


def test_an_input_name_that_is_not_ascii_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="not ASCII") as refused:
        document_digest(samples.document(inputs={"größe": "1"}))
    assert refused.value.hint


def test_a_time_in_another_form_is_refused() -> None:
    with pytest.raises(ValidationError):
        samples.document(expires_at="tomorrow")


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(ValidationError):
        samples.document(cell="c-1")
