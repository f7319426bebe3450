"""No text of an event goes round the redactor, and no digest goes through it."""

import hashlib
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel

from runbookd import events
from runbookd.events import (
    CheckpointData,
    Checkpointed,
    Event,
    NoteAdded,
    NoteData,
    OpenedData,
    PolicyRef,
)
from runbookd.record.redaction import Redactor
from runbookd.record.scrub import KEPT, scrubbed

from .world import ALICE, ZERO, ManualClock, Request, opened

SECRET = "hunter2-hunter2"
DATA = [kind.model_fields["data"].annotation for kind in get_args(get_args(Event)[0])]


def parts(model: Any) -> list[tuple[type[BaseModel], str]]:
    """Every (class, field) with free text that an event's data can hold."""
    found: list[tuple[type[BaseModel], str]] = []
    for name, hint in get_type_hints(model).items():
        if name in model.model_fields:
            if hint is str or str in get_args(hint):
                found.append((model, name))
            for inner in (hint, *get_args(hint)):
                if isinstance(inner, type) and issubclass(inner, BaseModel):
                    found += parts(inner)
    return found


DIGESTS = {"digest", "source_digest", "blob"}
TEXTS = sorted(
    {(model, name) for data in DATA for model, name in parts(data) if name not in DIGESTS},
    key=str,
)


@pytest.mark.parametrize(("model", "name"), TEXTS, ids=lambda part: getattr(part, "__name__", part))
def test_every_text_is_redacted_unless_it_is_listed(model: type[BaseModel], name: str) -> None:
    hint = get_type_hints(model)[name]
    value: Any = SECRET
    if "tuple" in str(hint):
        value = (SECRET,)
    elif "dict" in str(hint):
        value = {SECRET: SECRET}
    # The event around it does not matter to the walk, and is not validated.
    event = NoteAdded.model_construct(
        data=model.model_construct(**{**_filled(model), name: value}), cell=None, request=None
    )
    clean, rules = scrubbed(event, Redactor({"pw": SECRET}))
    kept = name in KEPT.get(model, frozenset())
    assert (SECRET in str(getattr(clean.data, name))) is kept
    assert rules == (() if kept else ("pw",))


def _filled(model: type[BaseModel]) -> dict[str, Any]:
    return dict.fromkeys(model.model_fields)


def test_the_list_of_exceptions_is_what_was_thought_about() -> None:
    listed = sorted(f"{model.__name__}.{name}" for model, names in KEPT.items() for name in names)
    assert listed == [
        "AdhocStartedData.execution",
        "CellPlan.id",
        "CellPlan.requires",
        "CellPlan.rollback",
        "CellPlan.verify",
        "CheckpointData.note",
        "ClaimedData.execution",
        "ConnectorData.execution",
        "Content.mime",
        "DecidedData.person",
        "DriverData.person",
        "FinishedData.execution",
        "KernelGoneData.kernel",
        "KernelStartedData.kernel",
        "OpenedData.previous",
        "OpenedData.vkey",
        "OutputData.execution",
        "PolicyRef.files",
        "RecoveredData.executions",
        "RefusedData.person",
        "RequestedData.expires_at",
        "RequestedData.groups",
        "RequestedData.requester",
        "RequestedData.rules",
        "RevokedData.superseded_by",
        "StartedData.execution",
    ]
    assert all(name in model.model_fields for model, names in KEPT.items() for name in names)


def test_digests_notes_and_keys_survive_a_pattern_that_matches_them() -> None:
    redactor = Redactor({}, [("hex", "[0-9a-f]{8,}"), ("base64", "[A-Za-z0-9+/]{20,}")])
    digest = hashlib.sha256(b"x").hexdigest()
    event = opened("host+0123abcd+" + "A" * 40, previous="note " + "B" * 60)
    before = event.data.model_copy(
        update={"policies": PolicyRef(digest=digest, files={"p.yaml": digest})}
    )
    clean, rules = scrubbed(event.model_copy(update={"data": before}), redactor)
    assert clean.data == before
    assert rules == ()
    signed = Checkpointed(data=CheckpointData(note=digest + "A" * 80))
    assert scrubbed(signed, redactor) == (signed, ())


def test_digests_in_a_free_document_survive_but_text_does_not() -> None:
    redactor = Redactor({"pw": SECRET}, [("hex", "[0-9a-f]{32}")])
    digest = hashlib.sha256(b"x").hexdigest()
    request = Request(ManualClock())
    request.document = {
        "source_digest": digest,
        "digest": digest,
        "source": f"login({SECRET!r}) {digest}",
        "other_digest": "not a digest " + digest,
        "other": digest,
        "inputs": [{"x": SECRET, SECRET: 1, "source_digest": SECRET}],
    }
    clean, rules = scrubbed(request.requested(), redactor)
    assert isinstance(clean, events.ApprovalRequested)
    assert clean.data.document == {
        "source_digest": digest,
        "digest": digest,
        "source": "login('[redacted:pw]') [redacted:hex][redacted:hex]",
        "other_digest": "not a digest [redacted:hex][redacted:hex]",
        "other": "[redacted:hex][redacted:hex]",
        "inputs": [{"x": "[redacted:pw]", "[redacted:pw]": 1, "source_digest": "[redacted:pw]"}],
    }
    assert rules == ("hex", "pw")
    assert clean.data.digest == request.digest


def test_a_secret_in_the_shape_of_a_digest_is_still_a_secret() -> None:
    secret = hashlib.sha256(b"token").hexdigest()
    request = Request(ManualClock())
    request.document = {"token_digest": secret}
    clean, _ = scrubbed(request.requested(), Redactor({"token": secret}))
    assert isinstance(clean, events.ApprovalRequested)
    assert clean.data.document == {"token_digest": "[redacted:token]"}


def test_a_secret_that_is_also_a_word_of_ours_breaks_nothing() -> None:
    request = Request(ManualClock())
    clean, _ = scrubbed(request.decided(reason="I approve"), Redactor({"pw": "approve"}))
    assert isinstance(clean, events.ApprovalDecided)
    assert (clean.data.decision, clean.data.reason) == ("approve", "I [redacted:pw]")


def test_two_secret_keys_keep_both_values() -> None:
    request = Request(ManualClock())
    request.document = {SECRET: 1, f"{SECRET}": 1, f"a{SECRET}": 2, "ahunter2": 3}
    redactor = Redactor({"pw": SECRET, "pw2": "ahunter2"})
    request.document = {"hunter2-hunter2": 1, "hunter2%2Dhunter2": 2, "ahunter2": 3}
    redactor.add("pw", "hunter2%2Dhunter2")
    clean, _ = scrubbed(request.requested(), redactor)
    assert isinstance(clean, events.ApprovalRequested)
    assert sorted(clean.data.document.values()) == [1, 2, 3]
    assert "hunter2" not in str(clean.data.document)


def test_what_an_output_stream_redacted_is_named_on_the_line() -> None:
    redactor = Redactor({"pw": SECRET})
    shown = redactor.stream().feed(f"{SECRET}\n")
    _, rules = scrubbed(NoteAdded(data=NoteData(text=shown)), redactor)
    assert rules == ("pw",)


def test_an_event_without_secrets_is_the_same_event() -> None:
    event = opened("k")
    assert isinstance(event.data, OpenedData)
    assert scrubbed(event, Redactor()) == (event, ())
    assert event.data.policies.files == {"production.yaml": ZERO}
    assert ALICE.id == "alice"
