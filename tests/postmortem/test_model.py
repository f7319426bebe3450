"""What a draft says is what the record says, with the numbers of the lines that say it."""

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from record_builder import ALICE, LOG, NOTEBOOK, Record, hexdigest

from runbookd.errors import RecordError
from runbookd.events import (
    ApprovalExpired,
    ApprovalFinished,
    ApprovalFinishedData,
    ApprovalRevoked,
    CellSkipped,
    Content,
    DriverChanged,
    DriverData,
    KernelDied,
    KernelGoneData,
    KernelStarted,
    KernelStartedData,
    ReasonData,
    Recovered,
    RecoveredData,
    RevokedData,
    SandboxReport,
)
from runbookd.postmortem.document import Document, Fact
from runbookd.postmortem.model import project
from runbookd.postmortem.texts import OUTPUT_CHARS


def cited(value: Any) -> Iterator[int]:
    """Every record number anywhere in a document."""
    if dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            inner = getattr(value, field.name)
            if field.name in {"seq", "started_seq", "last_seq", "finished_seq", "checkpoint_seq"}:
                if inner is not None:
                    yield inner
            elif field.name.endswith("refs"):
                yield from inner
            else:
                yield from cited(inner)
    elif isinstance(value, tuple):
        for item in value:
            yield from cited(item)


def metric(document: Document, name: str) -> tuple[int | None, tuple[int, ...]]:
    return next((item.ms, item.refs) for item in document.metrics if item.name == name)


def texts(facts: tuple[Fact, ...]) -> list[str]:
    return [fact.text for fact in facts]


def said(document: Document, ref: int) -> str:
    """The row of the timeline that cites a line."""
    return next(row.text for row in document.timeline if ref in row.refs)


def test_every_number_in_a_draft_is_a_line_of_the_record(walked: Record) -> None:
    known = {line.seq for line in walked.lines}
    numbers = list(cited(walked.document()))
    assert len(numbers) > 60
    assert set(numbers) <= known


def test_every_statement_of_a_draft_cites_at_least_one_line(walked: Record) -> None:
    document = walked.document()
    stated = [
        *document.outline,
        *document.skips,
        *document.deviations,
        *document.failures,
        *document.warnings,
        *document.recoveries,
        *document.header,
        *document.timeline,
        *document.runs,
        *document.actions,
        *(role for person in document.people for role in person.roles),
        *(fact for action in document.actions for fact in action.ended),
        *(output for run in document.runs for output in run.outputs),
        *(item for item in document.metrics if item.ms is not None),
    ]
    assert all(item.refs for item in stated)


def test_every_line_but_outputs_checkpoints_and_kernels_is_on_the_timeline(walked: Record) -> None:
    on_it = {ref for row in walked.document().timeline for ref in row.refs}
    left_out = {line.event.type for line in walked.lines if line.seq not in on_it}
    assert left_out == {"cell.output", "checkpoint"}


def test_a_row_stands_at_its_line_with_its_time_and_its_offset(walked: Record) -> None:
    document = walked.document()
    for row in document.timeline:
        line = walked.lines[row.seq]
        assert row.ts == line.ts
        assert row.offset_ms == row.seq * 1000
    assert [row.seq for row in document.timeline] == sorted(row.seq for row in document.timeline)


def test_the_header_says_what_was_settled_at_the_opening(walked: Record) -> None:
    header = {field.name: field.value for field in walked.document().header}
    assert header["Incident"] == "INC-17"
    assert header["Severity"] == "2"
    assert header["Environment"] == "production"
    assert header["Opened (UTC)"] == "2026-11-24T02:00:00.000000Z"
    assert header["Closed (UTC)"] == walked.lines[-1].ts
    assert header["Policies SHA-256"] == "b" * 64
    assert header["Runbook commit"] == "8c0dc126308c2a2392f3c952bca783f941eac1b2"
    assert header["Sandbox"] == "full (landlock+seccomp, 6.18.0)"
    assert header["runbookd version"] == "0.1.0"


def test_what_the_opening_does_not_say_is_left_open() -> None:
    record = Record(incident=None, severity=None, service="", environment="")
    header = {field.name: field.value for field in record.document().header}
    assert [header[name] for name in ("Incident", "Severity", "Service", "Environment")] == [
        None
    ] * 4


def test_people_are_listed_with_what_they_did_and_never_the_daemon(walked: Record) -> None:
    people = {
        person.id: [role.text for role in person.roles] for person in walked.document().people
    }
    assert set(people) == {"alice", "dana"}
    assert people["dana"] == ["approved"]
    assert people["alice"][0] == "opened the session"
    assert {"ran cells", "asked for approval", "was turned away as approver"} <= set(
        people["alice"]
    )


def test_metrics_lie_between_two_lines_in_milliseconds(walked: Record) -> None:
    document = walked.document()
    by_type = {line.event.type: line.seq for line in reversed(walked.lines)}
    asked, decided = by_type["approval.requested"], by_type["approval.decided"]
    assert metric(document, "Time to first action") == (1000, (0, 1))
    assert metric(document, "Time to request") == (asked * 1000, (0, asked))
    assert metric(document, "Time to approval") == (decided * 1000, (0, decided))
    assert metric(document, "Approval latency") == ((decided - asked) * 1000, (asked, decided))
    gated, check = (
        next(run for run in document.runs if run.cell == cell) for cell in ("resize", "check")
    )
    assert gated.finished_seq is not None
    assert check.finished_seq is not None
    assert metric(document, "Time to mitigation")[1] == (0, gated.finished_seq)
    assert metric(document, "Time to verification") == (
        check.finished_seq * 1000,
        (0, check.finished_seq),
    )


def test_without_an_approved_run_there_is_no_time_to_mitigation() -> None:
    record = Record()
    record.run("check")
    document = record.document()
    for name in ("request", "approval", "mitigation", "verification"):
        assert metric(document, f"Time to {name}") == (None, ())


def test_a_verifying_cell_counts_only_after_the_approved_run() -> None:
    record = Record()
    record.run("check")
    record.request()
    record.decide()
    record.execute()
    assert metric(record.document(), "Time to verification") == (None, ())


def test_a_rollback_is_no_mitigation() -> None:
    record = Record()
    record.request()
    record.decide()
    record.execute()
    mitigated = metric(record.document(), "Time to mitigation")
    record.request("r2", "undo")
    record.decide(name="r2", cell="undo")
    record.execute("r2", "undo")
    assert metric(record.document(), "Time to mitigation") == mitigated


def test_a_failed_approved_run_is_no_mitigation() -> None:
    record = Record()
    record.request()
    record.decide()
    record.execute(status="error")
    assert metric(record.document(), "Time to mitigation") == (None, ())


def test_an_approval_is_told_from_asking_to_its_end(walked: Record) -> None:
    (action,) = walked.document().actions
    assert action.state == "done"
    assert action.digest == walked.digest_of("r1")
    assert action.fingerprint == action.digest[:8]
    assert action.requester == "alice"
    assert (action.groups, action.quorum) == (("commanders",), 1)
    assert action.source.text == "resize_pool(target)"
    assert action.inputs == (("target", "40"),)
    terms = dict(action.terms)
    assert "POST /admin/pool" in terms["connectors"]
    assert terms["source_digest"] == hexdigest("resize_pool(target)")
    assert terms["timeout_s"] == "300"
    refused, decided = action.decisions
    assert (refused.person, refused.counts) == ("alice", False)
    assert refused.reason == "the requester may not decide"
    assert (decided.person, decided.via, decided.counts) == ("dana", "slack", True)
    assert action.run is not None
    assert action.run.results == (("previous", "20"),)
    (call,) = action.run.calls
    assert (call.method, call.path, call.status) == ("POST", "/admin/pool", 200)
    assert texts(action.shown) == ["in the channel slack"]
    assert texts(action.ended) == ["used up by the execution x3", "the execution ended: done"]


def test_an_approval_by_several_people_is_complete_with_the_last() -> None:
    record = Record()
    asked = record.request(quorum=2)
    record.decide(complete=False)
    second = record.decide(person="eve")
    (action,) = record.document().actions
    assert [item.complete for item in action.decisions] == [False, True]
    assert action.latency_refs == (asked, second)
    assert metric(record.document(), "Time to approval")[1] == (0, second)


def test_a_denied_request_ran_nothing() -> None:
    record = Record()
    record.request()
    seq = record.decide("deny", reason="not during the sale")
    (action,) = record.document().actions
    assert (action.state, action.run, action.latency_ms) == ("denied", None, None)
    assert said(record.document(), seq).startswith("denied request")
    assert "not during the sale" in said(record.document(), seq)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (ApprovalExpired(request="r1", cell="resize", data=ReasonData(reason="15 min")), "expired"),
        (ApprovalRevoked(request="r1", cell="resize", data=RevokedData(reason="no")), "revoked"),
        (
            ApprovalRevoked(
                request="r1", cell="resize", data=RevokedData(reason="new", superseded_by="r2")
            ),
            "superseded",
        ),
    ],
)
def test_a_request_that_came_to_nothing_says_how(event: Any, state: str) -> None:
    record = Record()
    record.request()
    seq = record.add(event)
    document = record.document()
    (action,) = document.actions
    assert action.state == state
    assert seq in action.refs
    assert said(document, seq)


def test_a_crash_in_a_gated_run_leaves_its_outcome_unknown() -> None:
    record = Record()
    record.request()
    record.decide()
    record.claim("x1")
    started = record.lines[-1].seq + 1
    record.start("resize", request="r1")
    seq = record.add(Recovered(data=RecoveredData(executions=("x1",), torn_bytes=11)))
    document = record.document()
    (run,) = document.runs
    assert (run.status, run.duration_ms, run.refs) == ("unknown", None, (started, seq))
    assert document.actions[0].state == "unknown"
    assert document.recoveries[0].refs == (seq,)
    assert "11 bytes" in document.recoveries[0].text
    assert "The outcome of “Resize the pool” is unknown: a crash hid it" in texts(document.failures)
    assert metric(document, "Time to mitigation") == (None, ())


def test_an_approval_that_ended_unknown_is_a_failure() -> None:
    record = Record()
    record.request()
    record.decide()
    record.claim("x1")
    ended = ApprovalFinishedData(status="unknown")
    seq = record.add(ApprovalFinished(request="r1", cell="resize", data=ended))
    assert record.document().failures[-1].refs == (seq,)


def test_a_session_that_is_open_is_told_up_to_its_last_line() -> None:
    record = Record()
    record.run("usage")
    record.start("errors")
    document = record.document()
    assert not document.closed
    assert any("still open" in fact.text for fact in document.outline)
    assert document.timeline[-1].text == "ran “Error rate”; its end is not recorded"
    assert texts(document.failures) == ["“Error rate” was started; was running at the last line"]
    assert document.runs[-1].status is None


def test_a_failed_cell_says_its_error_and_the_lane_s_explanation() -> None:
    record = Record()
    record.run(
        "usage", status="error", error="PermissionError: /etc/x", lane_hint="the lane only reads"
    )
    (fact,) = record.document().failures
    assert fact.text == (
        "“Pool usage” ended with error: “PermissionError: /etc/x”; the lane only reads"
    )


def test_a_refused_call_is_a_failure_even_in_the_read_only_lane() -> None:
    record = Record()
    execution = record.start("usage")
    record.call(execution, "GET", "/stats", lane="read-only")
    seq = record.call(execution, "DELETE", "/pool", lane="read-only", status=403, refused="verb")
    record.finish(execution, "usage")
    document = record.document()
    assert [fact.refs for fact in document.failures] == [(seq,)]
    assert said(document, seq).startswith("DELETE /pool through checkout-admin was refused")
    assert [call.path for call in document.runs[0].calls] == ["/stats", "/pool"]
    assert len(document.timeline) == 3


def test_what_differs_from_the_runbook_is_a_deviation() -> None:
    record = Record()
    record.run("errors")
    first = record.lines[1].seq
    record.run("usage")
    second = record.lines[3].seq
    record.run("usage")
    again = record.lines[5].seq
    adhoc = record.start_adhoc("1 + 1")
    started = record.lines[-1].seq
    record.finish(adhoc, None)
    found = record.document().deviations
    assert [(fact.text, fact.refs) for fact in found[:3]] == [
        (
            "“Pool usage” came after “Error rate”, which stands behind it in the runbook",
            (first, second),
        ),
        ("“Pool usage” was run again (2 runs so far)", (second, again)),
        ("A cell that is not in the runbook was run", (started,)),
    ]
    assert texts(found)[3:] == [
        f"“{title}” was neither run nor skipped"
        for title in ("Resize the pool", "Errors are gone", "Put the pool back", "Call the owner")
    ]


def test_a_walk_in_order_has_no_deviation() -> None:
    record = Record()
    for cell in ("usage", "errors"):
        record.run(cell)
    for cell in ("resize", "check", "undo", "call"):
        record.add(CellSkipped(cell=cell, data=ReasonData(reason="enough")), actor=ALICE)
    document = record.document()
    assert document.deviations == ()
    assert texts(document.skips)[0] == "“Resize the pool”: “enough”"


def test_an_unenforced_sandbox_is_a_warning() -> None:
    record = Record(
        unenforced=True,
        sandbox=SandboxReport(level="none", backend="none", kernel="5.4", why="old"),
    )
    data = KernelStartedData(kernel="k", lane="read-only", kernelspec="python3", level="none")
    seq = record.add(KernelStarted(data=data))
    assert [(fact.text, fact.refs) for fact in record.document().warnings] == [
        ("The policy let cells run without an enforced sandbox", (0,)),
        ("No sandbox was in force: “old”", (0,)),
        ("A read-only kernel ran without a sandbox", (seq,)),
    ]


def test_a_dead_kernel_and_a_change_of_driver_are_on_the_timeline() -> None:
    record = Record()
    gone = KernelGoneData(kernel="k", lane="read-only", why="killed")
    died = record.add(KernelDied(data=gone))
    drove = record.add(
        DriverChanged(data=DriverData(person="bo", reason="shift")),
        actor=ALICE.model_copy(update={"id": "bo"}),
    )
    document = record.document()
    assert said(document, died) == "the read-only kernel died: “killed”"
    assert said(document, drove) == "bo drives from now on: “shift”"
    assert [fact.refs for fact in document.failures] == [(died,)]


def test_a_clock_that_goes_back_is_named_and_gives_no_negative_duration() -> None:
    record = Record()
    asked = record.request()
    record.now -= timedelta(hours=1)
    decided = record.decide()
    document = record.document()
    assert metric(document, "Approval latency") == (None, (asked, decided))
    assert document.timeline[-1].offset_ms is None
    assert [fact.refs for fact in document.failures] == [(asked, decided)]


def test_pieces_of_one_stream_are_one_output() -> None:
    record = Record()
    execution = record.start("usage")
    first = record.output(execution, "a")
    second = record.output(execution, "b\n")
    record.output(execution, "oh", channel="stderr")
    record.output(execution, "c")
    record.finish(execution, "usage")
    (run,) = record.document().runs
    assert [(out.channel, out.excerpt and out.excerpt.text) for out in run.outputs] == [
        ("stdout", "ab\n"),
        ("stderr", "oh"),
        ("stdout", "c"),
    ]
    assert run.outputs[0].refs == (first, second)


def test_a_long_output_is_cut_and_says_how_much_and_where_the_whole_is() -> None:
    record = Record()
    text = "ü" * 50_000
    name = record.blob(text)
    execution = record.start("usage")
    record.output(execution, Content(mime="text/plain", bytes=100_000, blob=name))
    record.finish(execution, "usage")
    (out,) = record.document().runs[0].outputs
    assert out.excerpt is not None
    assert out.excerpt.text == "ü" * OUTPUT_CHARS
    assert out.excerpt.total_bytes == 100_000
    assert out.excerpt.cut_bytes == 100_000 - 2 * OUTPUT_CHARS
    assert out.excerpt.blobs == (name,)


def test_blobs_beyond_what_is_shown_are_not_read() -> None:
    record = Record()
    execution = record.start("usage")
    for number in range(40):
        name = record.blob(f"{number} " + "x" * 5000)
        record.output(execution, Content(mime="text/plain", bytes=5002, blob=name))
    record.finish(execution, "usage")
    read: list[str] = []

    def counting(name: str) -> bytes:
        read.append(name)
        return record.read_blob(name)

    (out,) = record.document(read_blob=counting).runs[0].outputs
    assert len(read) == 1
    assert out.excerpt is not None
    assert len(out.excerpt.blobs) == 40


def test_a_missing_blob_is_named_and_the_rest_stands() -> None:
    record = Record()
    execution = record.start("usage")
    record.output(execution, "before\n")
    gone = hexdigest("gone")
    record.output(execution, Content(mime="text/plain", bytes=900, blob=gone))
    record.finish(execution, "usage")
    (out,) = record.document().runs[0].outputs
    assert out.excerpt is not None
    assert out.excerpt.text == "before\n"
    assert out.excerpt.problems == (f"blobs/sha256/{gone} is missing from the folder",)
    assert out.excerpt.cut_bytes == 900


def test_an_altered_blob_is_not_shown() -> None:
    record = Record()
    name = record.blob("what was printed")
    execution = record.start("usage")
    record.output(execution, Content(mime="text/plain", bytes=16, blob=name), channel="result")
    record.blobs[name] = b"something else"
    (out,) = record.document().runs[0].outputs
    assert out.excerpt is not None
    assert out.excerpt.text is None
    assert out.excerpt.problems == (f"blobs/sha256/{name} is not what its digest says",)


def test_an_image_is_named_beside_its_text(walked: Record) -> None:
    run = next(run for run in walked.document().runs if run.cell == "errors")
    (out,) = run.outputs
    assert out.excerpt is not None
    assert out.excerpt.text == "<Figure size 640x480>"
    (image,) = out.attachments
    assert (image.mime, image.blob, image.problem) == (
        "image/png",
        hexdigest(b"\x89PNG picture"),
        "",
    )


def test_a_source_is_only_shown_when_it_has_the_recorded_digest() -> None:
    record = Record()
    record.run("usage")
    assert record.document().runs[0].source.text == "usage = pool_usage()\nprint(usage)"
    altered = {"cells": [{"id": "usage", "source": ["usage = ", "rm()"]}]}
    source = record.document(notebook=altered).runs[0].source
    assert source.text is None
    assert source.problems[0].endswith("is missing from the folder")


@pytest.mark.parametrize(
    "notebook", [None, {}, {"cells": 3, "metadata": []}, {"cells": [4, {"source": [5]}, {}]}]
)
def test_a_damaged_notebook_is_no_failure(notebook: Any, walked: Record) -> None:
    assert walked.document(notebook=notebook).runs[0].source.text is None


def test_a_record_with_a_line_cut_out_is_told_as_far_as_it_goes(walked: Record) -> None:
    kept = [line for line in walked.lines if line.event.type != "approval.requested"]
    document = project(kept, notebook=NOTEBOOK, read_blob=walked.read_blob, integrity="DRAFT")
    assert document.failures[0].text.startswith("The record cannot be followed further")
    assert document.closed
    assert len(document.timeline) > 10


def test_a_broken_record_does_not_say_where_a_request_stands_now(walked: Record) -> None:
    kept = [line for line in walked.lines if line.event.type != "approval.decided"]
    document = project(kept, notebook=NOTEBOOK, read_blob=walked.read_blob, integrity="DRAFT")
    assert document.actions[0].state.startswith("pending (before line ")


def test_a_record_without_its_first_line_leaves_the_header_open(walked: Record) -> None:
    document = project(
        walked.lines[1:], notebook=None, read_blob=walked.read_blob, integrity="DRAFT"
    )
    assert document.title == "not recorded"
    assert document.header[0].value is None
    assert document.appendix.log == LOG
    assert document.appendix.vkey is None


def test_an_empty_record_is_refused() -> None:
    with pytest.raises(RecordError):
        project([], notebook=None, read_blob=Record().read_blob, integrity="")


def test_the_appendix_holds_what_a_check_needs(walked: Record) -> None:
    walked.run("usage")
    walked.lines[-1] = walked.lines[-1].model_copy(update={"redacted": ("aws-key",)})
    appendix = walked.document().appendix
    assert appendix.lines == len(walked.lines)
    assert appendix.last_seq == walked.lines[-1].seq
    assert appendix.checkpoint is not None
    assert appendix.checkpoint_seq is not None
    assert walked.lines[appendix.checkpoint_seq].event.type == "checkpoint"
    assert [fact.refs for fact in appendix.redactions] == [(walked.lines[-1].seq,)]


def test_the_approved_source_is_shown_whole_however_long_it_is() -> None:
    record = Record()
    source = "x = 1\n" * 50_000
    record.request(document={"source": source})
    shown = record.document().actions[0].source
    assert shown.text == source
    assert shown.cut_bytes == 0
