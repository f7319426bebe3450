"""Drafts a postmortem from the folder of a session, or from a copy of it, without a daemon."""

import json
import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from runbookd.errors import InputError
from runbookd.events import Recorded
from runbookd.model import Digest
from runbookd.postmortem.markdown import markdown
from runbookd.postmortem.model import project
from runbookd.record.blobs import BlobStore
from runbookd.record.layout import RECORD, RUNBOOK
from runbookd.record.reader import scan
from runbookd.record.report import Finding, Report
from runbookd.record.verify import verify

UNVERIFIED = "DRAFT FROM AN UNVERIFIED RECORD"


def export_markdown(folder: Path) -> str:
    """The draft of a session as Markdown; the same folder gives the same text.

    It works while the session is open. A record that does not verify is told as far as its lines
    can be read, under a statement that says so.

    Raises:
        InputError: there is no record in ``folder``.
        RecordError: not a single line of it can be read.
    """
    record = folder / RECORD
    if not record.is_file():
        raise InputError(f"{folder} holds no {RECORD}", "give a session or the folder of one")
    report = verify(folder)
    store = BlobStore(folder)

    def read_blob(digest: Digest) -> bytes:
        return _read_regular(store.path(digest))

    document = project(
        _sound_lines(record, report.size),
        notebook=_notebook(folder / RUNBOOK),
        read_blob=read_blob,
        integrity=statement(report),
    )
    return markdown(document)


def statement(report: Report) -> str:
    """What verification found: a verdict, and below it a line for each finding of weight."""
    faults = [finding for finding in report.findings if finding.severity == "fault"]
    if not report.ok:
        verdict = f"{UNVERIFIED}: verification found what is listed here"
    elif not report.signed:
        verdict = f"{UNVERIFIED}: no signed checkpoint covers any of its lines"
    else:
        verdict = f"verified up to line {report.signed - 1}"
        # The line behind the signed ones is the checkpoint itself.
        if report.size > report.signed + 1:
            verdict += f"; no signed checkpoint covers the lines after it, up to {report.size - 1}"
    unproved = [finding for finding in report.findings if finding.severity == "unproved"]
    more = [f"and {number} more of {kind}" for kind, number in sorted(report.left_out.items())]
    return "\n".join(
        [
            verdict,
            *(_sentence("fault", finding) for finding in faults),
            *(_sentence("not proved", finding) for finding in unproved),
            *more,
        ]
    )


def _sentence(mark: str, finding: Finding) -> str:
    where = "" if finding.seq is None else f"line {finding.seq}: "
    # A finding is one line of the statement, whatever the record put into its text.
    return " ".join(f"{mark}: {where}{finding.text}".split())


def _sound_lines(record: Path, size: int) -> Iterator[Recorded]:
    # No further than was verified: an open session goes on meanwhile.
    with record.open("rb") as file:
        for line in islice(scan(file), size):
            if line.recorded is not None:
                yield line.recorded


def _notebook(path: Path) -> dict[str, Any] | None:
    try:
        notebook = json.loads(_read_regular(path))
    except (OSError, ValueError, RecursionError):
        return None
    return notebook if isinstance(notebook, dict) else None


def _read_regular(path: Path) -> bytes:
    """The bytes of a file. A folder from elsewhere may hold links and pipes instead.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(fd, "rb") as file:  # noqa: PTH123 - the descriptor was opened without links
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(f"{path} is not a regular file")
        return file.read()
