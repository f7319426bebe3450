"""The client: every line of a record as it was written, and every error as one of ours."""

import asyncio
import json
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from runbookd.api import AddNote, CloseSession, Decision, OpenSession, RunAdhoc, RunCell, TickCell
from runbookd.client.client import DaemonClient
from runbookd.client.follow import Follower, following
from runbookd.client.spawn import ensure_daemon
from runbookd.errors import (
    CommandRefused,
    DaemonUnavailable,
    InputError,
    NotApproved,
    RunbookdError,
)
from runbookd.events import Recorded
from runbookd.settings import Settings, load_settings
from tests.session.world import FIX, LOOK, Daemon, Ground, notebook, policies

BOOK = notebook(LOOK, FIX)
LINE_ENDS = "one\r\ntwo\rthree\x0bfour\x0cfive\x1csix\x85seven\u2028eight\u2029nine"
"""What str.splitlines takes for the end of a line, and JSON does not."""


async def opened(client: DaemonClient, daemon: Daemon) -> str:
    path = daemon.home / "runbooks" / "checkout.ipynb"
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_bytes(BOOK)
    return (await client.open(OpenSession(runbook="checkout.ipynb"))).id


async def test_a_client_walks_a_session(client: DaemonClient, daemon: Daemon) -> None:
    session = await opened(client, daemon)
    assert (await client.health()).person == "alice"
    assert [info.path for info in await client.runbooks()] == [
        str(daemon.home / "runbooks" / "checkout.ipynb")
    ]
    accepted = await client.command(session, RunCell(cell="look"))
    assert accepted.execution
    await daemon.settled(session)
    assert (await client.session(session)).done == 1
    assert [info.id for info in await client.sessions()] == [session]
    assert [cell["id"] for cell in (await client.notebook(session))["cells"]] == ["look", "fix"]
    accepted = await client.command(session, RunCell(cell="fix"))
    [waiting] = await client.approvals()
    assert waiting.id == accepted.request
    decided = await client.decide(waiting.id, Decision(decision="approve"))
    assert not decided.accepted, "alice asked"


@pytest.mark.parametrize("follow", [False, True])
async def test_the_events_are_the_lines_of_the_record(
    client: DaemonClient, daemon: Daemon, ground: Ground, follow: bool
) -> None:
    session = await opened(client, daemon)
    ground.outputs = [("stdout", {"text/plain": LINE_ENDS})]
    await client.command(session, AddNote(text=LINE_ENDS))
    await client.command(session, RunAdhoc(source=f"print({LINE_ENDS!r})"))
    await daemon.settled(session)
    await client.command(session, CloseSession(reason=LINE_ENDS))
    found = [line async for line in client.events(session, follow=follow)]
    record = daemon.home / "sessions" / session / "record.jsonl"
    lines = [json.loads(raw) for raw in record.read_bytes().split(b"\n") if raw]
    assert [line.to_json() for line in found] == lines
    assert found[-1].event.type == "checkpoint"
    later = [line async for line in client.events(session, 3, follow=follow)]
    assert [line.seq for line in later] == [line.seq for line in found[3:]]


async def test_a_blob_comes_as_it_is(client: DaemonClient, daemon: Daemon, ground: Ground) -> None:
    session = await opened(client, daemon)
    ground.outputs = [("display", {"image/png": b"\x00\xff\n"})]
    await client.command(session, RunCell(cell="look"))
    await daemon.settled(session)
    [path] = (daemon.home / "sessions" / session / "blobs" / "sha256").iterdir()
    assert await client.blob(session, path.name) == b"\x00\xff\n"


async def test_errors_cross_the_api_with_their_kind_and_hint(
    client: DaemonClient, daemon: Daemon
) -> None:
    session = await opened(client, daemon)
    with pytest.raises(CommandRefused, match="only a manual step") as refused:
        await client.command(session, TickCell(cell="look"))
    assert refused.value.hint == "run the cell"
    with pytest.raises(InputError, match="no session 'nowhere'"):
        await client.session("nowhere")
    with pytest.raises(InputError, match="no session 'nowhere'"):
        [line async for line in client.events("nowhere")]
    await client.command(session, RunCell(cell="fix"))
    [waiting] = await client.approvals()
    assert (await daemon.console(waiting.id, "dana")).accepted
    daemon.rules = policies(2)
    with pytest.raises(NotApproved, match="policy_digest") as told:
        await client.command(session, RunCell(cell="fix"))
    assert told.value.exit_code == 3


@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "a form this version does not know"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops", "answered 500"),
        (b"not http at all\r\n\r\n", "does not answer"),
        (b"", "does not answer"),
    ],
)
async def test_what_is_no_daemon_is_told_in_one_line(
    tmp_path: Path, raw: bytes, match: str
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() not in {b"\r\n", b""}:
            pass
        writer.write(raw)
        writer.close()

    path = tmp_path / "s"
    async with await asyncio.start_unix_server(answer, str(path)):
        settings = load_settings(tmp_path, socket=path)
        async with DaemonClient(settings, start=False) as client:
            with pytest.raises(DaemonUnavailable, match=match) as told:
                await client.health()
    assert "\n" not in str(told.value)


async def test_an_event_of_another_version_is_told_in_one_line(tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline() not in {b"\r\n", b""}:
            pass
        writer.write(b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"v": 2, "type": "new"}\n')
        writer.close()

    path = tmp_path / "s"
    async with await asyncio.start_unix_server(answer, str(path)):
        settings = load_settings(tmp_path, socket=path)
        async with DaemonClient(settings, start=False) as client:
            with pytest.raises(DaemonUnavailable, match="a form this version does not know"):
                [line async for line in client.events("s")]


async def test_a_daemon_that_goes_away_while_it_is_followed_is_noticed(
    settings: Settings, daemon: Daemon
) -> None:
    async with DaemonClient(settings, start=False) as client:
        session = await opened(client, daemon)

        async def until_closed() -> None:
            async with following(client, session) as follower:
                await daemon.end()
                await follower.until(lambda state: state.closed, 10)

        with pytest.raises(RunbookdError):
            await until_closed()


async def test_a_follower_has_the_state_and_shows_every_line(
    client: DaemonClient, daemon: Daemon
) -> None:
    session = await opened(client, daemon)
    shown: list[Recorded] = []
    async with following(client, session, shown.append) as follower:
        assert follower.state.id == session
        await client.command(session, AddNote(text="seen"))
        assert await follower.until(lambda state: state.notes == 1, 10)
        assert not await follower.until(lambda state: state.notes == 2, 0.01)
        await client.command(session, CloseSession())
        assert await follower.until(lambda state: state.closed, 10)
    assert [line.seq for line in shown] == list(range(len(shown)))
    assert shown[-1].event.type == "checkpoint", "the end of the record, too"


async def test_waiting_for_what_cannot_come_any_more_is_an_error() -> None:
    async def no_lines() -> AsyncGenerator[Recorded, None]:
        for line in ():
            yield line

    follower = Follower()
    await follower.feed(no_lines(), lambda _: None)
    with pytest.raises(DaemonUnavailable, match="events ended"):
        await follower.until(lambda state: state.closed)


async def test_a_stream_is_closed_when_nobody_reads_it_any_more(
    client: DaemonClient, daemon: Daemon
) -> None:
    session = await opened(client, daemon)

    def fails(line: Recorded) -> None:
        raise ZeroDivisionError

    stream = client.events(session)
    with pytest.raises(ZeroDivisionError):
        await Follower().feed(stream, fails)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    async with asyncio.timeout(10):
        while daemon.service.followers:
            await asyncio.sleep(0.005)


async def test_the_blocks_own_error_comes_through_as_it_is(
    client: DaemonClient, daemon: Daemon
) -> None:
    session = await opened(client, daemon)
    with pytest.raises(ZeroDivisionError):
        async with following(client, session):
            raise ZeroDivisionError


async def test_a_socket_folder_that_is_somebody_elses_is_not_spoken_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    settings = load_settings(tmp_path / "home")
    folder = settings.socket.parent
    assert folder.parent == tmp_path
    folder.symlink_to(tmp_path)
    with pytest.raises(DaemonUnavailable, match="is not ours"):
        await ensure_daemon(settings, start=False)
    folder.unlink()
    folder.mkdir()
    with pytest.raises(DaemonUnavailable, match="no daemon serves"):
        await ensure_daemon(settings, start=False)
    if os.geteuid() == 0:
        os.chown(folder, 65534, 65534)
        with pytest.raises(DaemonUnavailable, match="is not ours"):
            await ensure_daemon(settings, start=False)
