"""A walk that an on-call engineer would recognise."""

import pytest
from record_builder import ALICE, Record

from runbookd.events import (
    CellSkipped,
    CellTicked,
    ClosedData,
    Content,
    NoteAdded,
    NoteData,
    ReasonData,
    SessionClosed,
)


def walk() -> Record:
    """Look, ask, be approved, resize, verify, tick, skip, close."""
    record = Record()
    record.run("usage", "pool 98 of 100\n")
    errors = record.start("errors")
    picture = record.blob(b"\x89PNG picture")
    record.output(
        errors,
        Content(mime="image/png", bytes=12, blob=picture),
        "<Figure size 640x480>",
        channel="display",
    )
    record.finish(errors, "errors")
    record.add(
        NoteAdded(cell="usage", data=NoteData(text="The pool leaks.\nSince 01:50?")), actor=ALICE
    )
    record.request()
    record.post()
    record.refuse("alice", "the requester may not decide")
    record.decide()
    record.execute()
    record.checkpoint()
    record.run("check", "0.001\n")
    record.add(CellTicked(cell="call", data=NoteData(text="called Bo")), actor=ALICE)
    record.add(CellSkipped(cell="undo", data=ReasonData(reason="not needed")), actor=ALICE)
    record.checkpoint()
    record.add(SessionClosed(data=ClosedData(reason="healthy again")), actor=ALICE)
    return record


@pytest.fixture
def walked() -> Record:
    return walk()
