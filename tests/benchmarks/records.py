"""Durable appends, one at a time, against write and fsync of the same bytes."""

import os
import tempfile
import time
from pathlib import Path

from runbookd.clock import SystemClock
from runbookd.events import DAEMON, NoteAdded, NoteData
from runbookd.record.keys import load_or_create_key
from runbookd.record.redaction import Redactor
from runbookd.record.writer import RecordWriter
from tests.benchmarks.measure import say, timed

APPENDS = 300


async def records() -> None:
    """Print the ratio."""
    with tempfile.TemporaryDirectory() as name:
        home, folder = Path(name), Path(name) / "session"
        writer = await RecordWriter.create(
            folder,
            log="bench/runbookd/session",
            key=load_or_create_key(home),
            clock=SystemClock(),
            redactor=Redactor({}, ()),
        )
        note = NoteAdded(data=NoteData(text="x" * 600))
        times = [await timed(lambda: writer.append(note, actor=DAEMON)) for _ in range(APPENDS)]
        await writer.close()
        size = (folder / "record.jsonl").stat().st_size // APPENDS
        descriptor = os.open(home / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        bare = []
        for _ in range(APPENDS):
            began = time.perf_counter()
            os.write(descriptor, b"x" * size)
            os.fsync(descriptor)
            bare.append(time.perf_counter() - began)
        os.close(descriptor)
    say("durable append", times, bare, "write and fsync")
