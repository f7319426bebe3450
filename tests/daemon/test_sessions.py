"""Sessions on the disk: opened whole or not at all, frozen, taken up again, and never made up."""

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd.api import AddNote, CloseSession, OpenSession, RunCell
from runbookd.errors import (
    InputError,
    KernelUnavailable,
    RecordError,
    RecordUnwritable,
    RunbookError,
    Unavailable,
)
from runbookd.events import SessionOpened
from runbookd.record.verify import verify
from tests.record.world import BROKEN, FULL, FaultyFiles, ManualClock
from tests.session.world import (
    FIX,
    HANDS,
    LOOK,
    Daemon,
    Ground,
    notebook,
    policies,
    running,
)

BOOK = notebook(LOOK, FIX, HANDS)


def folders(daemon: Daemon) -> list[str]:
    sessions = daemon.home / "sessions"
    return sorted(path.name for path in sessions.iterdir()) if sessions.is_dir() else []


def writers() -> int:
    """How many threads of open records there are."""
    return sum(thread.name.startswith("record") for thread in threading.enumerate())


# ---- opening ---------------------------------------------------------------------------------


async def test_a_session_freezes_the_notebook_that_was_opened(daemon: Daemon) -> None:
    session = await daemon.open(BOOK, incident="INC-7", severity=1)
    folder = daemon.home / "sessions" / session
    assert (folder / "runbook.ipynb").read_bytes() == BOOK
    (daemon.home / "runbooks" / "checkout.ipynb").write_bytes(notebook())
    frozen = await daemon.sessions.notebook(session)
    assert [cell["id"] for cell in frozen["cells"]] == ["look", "fix", "hands"]
    event = daemon.lines(session)[0].event
    assert isinstance(event, SessionOpened)
    data = event.data
    assert (data.incident, data.severity, data.environment) == ("INC-7", 1, "production")
    assert [(cell.id, cell.mode) for cell in data.cells] == [
        ("look", "read-only"),
        ("fix", "gated"),
        ("hands", "manual"),
    ]
    assert data.policies.digest == daemon.rules.digest
    assert verify(folder).ok


async def test_a_session_names_the_last_checkpoint_of_the_one_before(
    daemon: Daemon, clock: ManualClock
) -> None:
    first = await daemon.open(BOOK)
    clock.forward(seconds=1)
    second = await daemon.open(BOOK)
    event = daemon.lines(second)[0].event
    assert isinstance(event, SessionOpened)
    assert event.data.previous is not None
    assert event.data.previous.startswith(f"host/runbookd/{first}\n")


@pytest.mark.parametrize("stem", ["Ünïcödé ✓", "...", "a" * 200, "x; rm -rf ~", "--help"])
async def test_a_session_has_a_harmless_name_whatever_its_runbook_is_called(
    daemon: Daemon, stem: str
) -> None:
    path = daemon.home / "runbooks" / f"{stem}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_bytes(BOOK)
    info = await daemon.service.open(OpenSession(runbook=path.name), 1001)
    assert re.fullmatch(r"20261124-020731-[a-z0-9-]{1,40}-[0-9a-f]{4}", info.id)


@pytest.mark.parametrize("call", ["write", "fsync", "open"])
async def test_a_session_whose_opening_cannot_be_recorded_is_not_left_behind(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    files = FaultyFiles()
    monkeypatch.setattr("runbookd.record.writer.Files", lambda: files)
    # Without a kernel, so that all calls are those of the opening.
    daemon.ground.start_error = KernelUnavailable("not here")
    whole = await daemon.open(BOOK)
    calls = files.calls.count(call)
    assert calls > 1
    for at in range(calls):
        files.fail[call] = [0] * at + [FULL if at % 2 else BROKEN]
        with pytest.raises(RecordUnwritable):
            await daemon.open(BOOK)
        assert folders(daemon) == [whole], f"{call} number {at}"
        assert writers() == 1
        assert len(daemon.sessions.served) == 1


async def test_where_no_folder_can_be_made_that_is_said(daemon: Daemon) -> None:
    (daemon.home / "runbooks").mkdir(parents=True)
    (daemon.home / "sessions").write_text("not a folder")
    with pytest.raises(RecordUnwritable, match="no session can be made in"):
        await daemon.open(BOOK)


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"not json", RunbookError),
        (notebook(LOOK, connectors=["kafka"]), RunbookError),
        (notebook(LOOK, parameters={"size": {"type": "integer", "required": True}}), InputError),
    ],
)
async def test_a_runbook_that_cannot_be_walked_leaves_nothing(
    daemon: Daemon, raw: bytes, error: type[Exception]
) -> None:
    with pytest.raises(error):
        await daemon.open(raw)
    assert folders(daemon) == []


async def test_where_no_sandbox_can_be_enforced_every_cell_is_gated(
    stood_in: None, tmp_path: Path, clock: ManualClock
) -> None:
    bare = Ground(clock, level="none")
    async with running(Daemon(tmp_path, clock=clock, ground=bare, rules=policies())) as daemon:
        session = await daemon.open(BOOK)
        state = daemon.state(session)
        assert [(cell.plan.mode, cell.plan.risk) for cell in state.cells.values()] == [
            ("gated", "high"),
            ("gated", "high"),
            ("manual", None),
        ]
        assert state.opened is not None
        assert not state.opened.enforced
        asked = await daemon.command(session, RunCell(cell="look"))
        assert asked.request is not None
        assert bare.ran == []


async def test_a_policy_may_waive_the_sandbox_and_the_record_says_so(
    stood_in: None, tmp_path: Path, clock: ManualClock
) -> None:
    rules = policies()
    waived = rules.lanes.read_only.model_copy(update={"sandbox": "unenforced"})
    lanes = rules.lanes.model_copy(update={"read_only": waived})
    rules = rules.model_copy(update={"lanes": lanes})
    bare = Ground(clock, level="none")
    async with running(Daemon(tmp_path, clock=clock, ground=bare, rules=rules)) as daemon:
        session = await daemon.open(BOOK)
        opened = daemon.state(session).opened
        assert opened is not None
        assert (opened.unenforced, opened.sandbox.level, opened.enforced) == (True, "none", True)
        await daemon.command(session, RunCell(cell="look"))
        await daemon.settled(session)
        assert len(bare.ran) == 1
    full = Ground(clock)
    async with running(Daemon(tmp_path / "full", clock=clock, ground=full, rules=rules)) as other:
        opened = other.state(await other.open(BOOK)).opened
        assert opened is not None
        assert not opened.unenforced, "a sandbox that is there is used"


async def test_a_daemon_that_is_ending_opens_nothing(daemon: Daemon) -> None:
    await daemon.end()
    with pytest.raises(Unavailable, match="ending"):
        await daemon.open(BOOK)
    assert folders(daemon) == []


# ---- taking up -------------------------------------------------------------------------------


async def reopened(daemon: Daemon, **changes: Any) -> Daemon:
    """The same home after an orderly end and a new start."""
    values = {"clock": daemon.clock, "ground": Ground(daemon.clock), "rules": daemon.rules}
    return Daemon(daemon.home, **{**values, **changes})


async def test_a_session_whose_notebook_was_swapped_is_not_gone_on_with(daemon: Daemon) -> None:
    session = await daemon.open(BOOK)
    await daemon.end()
    frozen = daemon.home / "sessions" / session / "runbook.ipynb"
    frozen.write_bytes(notebook(LOOK, {**FIX, "source": "rm_rf()"}))
    async with running(await reopened(daemon)) as again:
        with pytest.raises(RecordError, match="frozen notebook is not the one that was opened"):
            again.sessions.find(session)
        [info] = await again.sessions.list()
        assert "frozen notebook" in info.problem
        assert writers() == 0


async def test_a_session_under_another_key_is_not_gone_on_with(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await daemon.open(BOOK)
    await daemon.end()
    monkeypatch.setattr("tests.session.world.KEY", Ed25519PrivateKey.generate())
    async with running(await reopened(daemon)) as again:
        with pytest.raises(RecordError, match="another key"):
            again.sessions.find(session)


async def test_a_torn_last_line_is_set_aside_and_recorded(daemon: Daemon) -> None:
    session = await daemon.open(BOOK)
    await daemon.end()
    record = daemon.home / "sessions" / session / "record.jsonl"
    whole = record.read_bytes()
    record.write_bytes(whole + b'{"v":1,"log":"ho')
    async with running(await reopened(daemon)) as again:
        lines = again.lines(session)
        recovered = [line.event for line in lines if line.event.type == "recovered"]
        assert [event.data.torn_bytes for event in recovered] == [16]  # type: ignore[union-attr]
        assert record.read_bytes().startswith(whole)
        await again.command(session, AddNote(text="goes on"))


async def test_a_session_that_was_closed_in_a_crash_is_sealed_and_not_served(
    daemon: Daemon,
) -> None:
    session = await daemon.open(BOOK)
    await daemon.command(session, CloseSession())
    await daemon.end()
    record = daemon.home / "sessions" / session / "record.jsonl"
    lines = record.read_bytes().splitlines(keepends=True)
    assert json.loads(lines[-1])["type"] == "checkpoint"
    for tail in (b"", lines[-1][:20]):
        record.write_bytes(b"".join(lines[:-1]) + tail)
        async with running(await reopened(daemon)) as again:
            assert again.sessions.served == ()
            with pytest.raises(InputError, match="is closed"):
                again.sessions.find(session)
            types = again.types(session)
            assert types[-2:] == ["session.closed", "checkpoint"]
        assert verify(record.parent).ok
        assert writers() == 0


async def test_a_closed_session_is_listed_and_read_and_takes_nothing_more(
    daemon: Daemon,
) -> None:
    session = await daemon.open(BOOK)
    await daemon.command(session, CloseSession())
    await daemon.end()
    async with running(await reopened(daemon)) as again:
        [info] = await again.sessions.list()
        assert (info.id, info.problem) == (session, "")
        assert info.closed is not None
        pieces = [piece async for piece in again.sessions.events(session, 1, follow=True)]
        record = (daemon.home / "sessions" / session / "record.jsonl").read_bytes()
        assert b"".join(pieces) == b"".join(record.splitlines(keepends=True)[1:])
        with pytest.raises(InputError, match="is closed"):
            await again.command(session, AddNote(text="late"))


async def test_one_sessions_fault_is_not_the_others(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await daemon.open(BOOK), await daemon.open(BOOK)

    def broken() -> Any:
        raise ZeroDivisionError

    live = daemon.session(first)
    monkeypatch.setattr(live, "_until_next_expiry", broken)
    await daemon.command(first, AddNote(text="trips over it"))
    journal = live.journal
    while first in {session.state.id for session in daemon.sessions.served}:
        await journal.changed(0.01)
    info = await daemon.sessions.info(first)
    assert info.problem == "an internal error ended it; see the daemon's log"
    await daemon.command(second, AddNote(text="goes on"))


@pytest.mark.parametrize("name", ["", ".", "..", "../sessions", "nowhere", "a/b", "\0"])
async def test_a_name_that_is_no_session_finds_none(daemon: Daemon, name: str) -> None:
    await daemon.open(BOOK)
    with pytest.raises((InputError, ValueError)):
        daemon.sessions.find(name)
    with pytest.raises((InputError, ValueError)):
        await daemon.sessions.info(name)
