"""The HTTP API: every route described, every error a Problem, and nothing believed of a client."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from runbookd.api import Problem, RunCell
from runbookd.daemon.app import build_app, peer
from runbookd.errors import InputError, RecordError
from tests.session.world import FIX, LOOK, Daemon, Ground, notebook

BOOK = notebook(LOOK, FIX)


def problem(answer: httpx.Response) -> Problem:
    assert answer.is_error
    found = Problem.model_validate_json(answer.content)
    assert found.message
    assert "\n" not in found.message
    assert "Traceback" not in answer.text
    return found


async def test_the_description_lists_every_route(http: httpx.AsyncClient, daemon: Daemon) -> None:
    described = (await http.get("/v1/openapi.json")).json()
    routes = {(path, method) for path, methods in described["paths"].items() for method in methods}
    assert routes == {
        ("/v1/health", "get"),
        ("/v1/runbooks", "get"),
        ("/v1/sessions", "get"),
        ("/v1/sessions", "post"),
        ("/v1/sessions/{session}", "get"),
        ("/v1/sessions/{session}/notebook", "get"),
        ("/v1/sessions/{session}/events", "get"),
        ("/v1/sessions/{session}/blobs/{digest}", "get"),
        ("/v1/sessions/{session}/commands", "post"),
        ("/v1/approvals", "get"),
        ("/v1/approvals/{request_id}/decision", "post"),
    }
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert (await http.get(path)).status_code == 404


async def test_a_session_is_opened_walked_and_read(
    http: httpx.AsyncClient, daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    commands = f"/v1/sessions/{session}/commands"
    answer = await http.post(commands, json={"type": "run", "cell": "look"})
    assert answer.status_code == 202
    await daemon.settled(session)
    info = (await http.get(f"/v1/sessions/{session}")).json()
    assert (info["id"], info["driver"], info["done"], info["total"]) == (session, "alice", 1, 2)
    assert [each["id"] for each in (await http.get("/v1/sessions")).json()] == [session]
    frozen = (await http.get(f"/v1/sessions/{session}/notebook")).json()
    assert [cell["id"] for cell in frozen["cells"]] == ["look", "fix"]
    events = await http.get(f"/v1/sessions/{session}/events", params={"follow": 0, "start": 2})
    record = (daemon.home / "sessions" / session / "record.jsonl").read_bytes()
    assert events.content == b"".join(record.splitlines(keepends=True)[2:])
    assert events.headers["content-type"].startswith("application/x-ndjson")
    asked = await http.post(commands, json={"type": "run", "cell": "fix"})
    [waiting] = (await http.get("/v1/approvals")).json()
    assert waiting["id"] == asked.json()["request"]
    assert "resize(target)" in waiting["text"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"run"',
        b"\xff\xfe",
        b"{}",
        b'{"type": "rm"}',
        b'{"type": "run"}',
        b'{"type": "run", "cell": 7}',
        b'{"type": "run", "cell": "look", "actor": "dana"}',
        b'{"type": "run", "cell": "look", "person": "dana", "uid": 0}',
        b'{"type": "note", "text": ""}',
        b'{"type": "\\ud800"}',
        b"[" * 100_000,
    ],
)
async def test_a_malformed_command_is_a_problem_and_not_recorded(
    http: httpx.AsyncClient, daemon: Daemon, body: bytes
) -> None:
    session = await daemon.open(BOOK)
    before = daemon.state(session).seq
    answer = await http.post(
        f"/v1/sessions/{session}/commands",
        content=body,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 400, answer.text
    assert problem(answer).exit_code == 2
    types = {line.event.type for line in daemon.lines(session)[before:]}
    assert types <= {"kernel.started", "checkpoint"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/sessions", {"runbook": 7}),
        ("/v1/sessions", {"runbook": "checkout.ipynb", "who": "dana"}),
        ("/v1/sessions", {"runbook": "checkout.ipynb", "parameters": {"a": 1}}),
        ("/v1/sessions", {"runbook": "nowhere.ipynb"}),
        ("/v1/sessions", {"runbook": "a\0b.ipynb"}),
        ("/v1/sessions", {"runbook": "\ud800.ipynb"}),
        ("/v1/sessions", {"runbook": ""}),
        ("/v1/sessions", {"runbook": "../../etc/passwd"}),
        ("/v1/sessions", {"runbook": "checkout.ipynb", "parameters": {"unknown": "1"}}),
        ("/v1/sessions", {"runbook": "checkout.ipynb", "incident": "\ud800"}),
        ("/v1/sessions", {"runbook": "checkout.ipynb", "incident": "x" * 2_000_000}),
        ("/v1/approvals/r-1/decision", {"decision": "maybe"}),
        ("/v1/approvals/r-1/decision", {"decision": "approve", "person": "dana"}),
        ("/v1/approvals/r-1/decision", {"decision": "approve"}),
    ],
)
async def test_what_cannot_be_used_is_refused_and_leaves_nothing_behind(
    http: httpx.AsyncClient, daemon: Daemon, path: str, body: Any
) -> None:
    folder = daemon.home / "runbooks"
    folder.mkdir(parents=True)
    (folder / "checkout.ipynb").write_bytes(BOOK)
    raw = json.dumps(body).encode()
    answer = await http.post(path, content=raw, headers={"Content-Type": "application/json"})
    if "incident" in body and answer.status_code == 201:
        assert body["incident"] == "\ud800", "half a character is mended, not refused"
        return
    assert answer.status_code == 400, answer.text
    assert problem(answer).exit_code == 2
    assert not (daemon.home / "sessions").exists() or not list((daemon.home / "sessions").iterdir())


@pytest.mark.parametrize(
    "path",
    [
        "/v1/sessions/nowhere",
        "/v1/sessions/nowhere/notebook",
        "/v1/sessions/nowhere/events",
        f"/v1/sessions/nowhere/blobs/{'0' * 64}",
        "/v1/sessions/nowhere/blobs/short",
        "/v1/sessions/.hidden",
        "/v1/sessions/..%2f..%2fetc",
        "/v1/nowhere",
        "/",
    ],
)
async def test_what_is_not_there_is_said_in_one_line(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.status_code in {400, 404}
    assert problem(answer).exit_code == 2


async def test_a_method_that_is_not_served_is_a_problem_too(http: httpx.AsyncClient) -> None:
    answer = await http.delete("/v1/sessions")
    assert answer.status_code == 405
    assert problem(answer).exit_code == 2


async def test_a_blob_of_a_session_is_read_whole_or_not_at_all(
    http: httpx.AsyncClient, daemon: Daemon, ground: Ground
) -> None:
    session = await daemon.open(BOOK)
    ground.outputs = [("display", {"image/png": b"a picture"})]
    await daemon.command(session, RunCell(cell="look"))
    await daemon.settled(session)
    [path] = (daemon.home / "sessions" / session / "blobs" / "sha256").iterdir()
    answer = await http.get(f"/v1/sessions/{session}/blobs/{path.name}")
    assert answer.content == b"a picture"
    assert answer.headers["content-type"] == "application/octet-stream"
    path.write_bytes(b"another picture")
    assert (
        "changed on disk"
        in problem(await http.get(f"/v1/sessions/{session}/blobs/{path.name}")).message
    )


@pytest.mark.parametrize("client", [None, ("127.0.0.1", 1000), ("uid2", 0)])
async def test_a_peer_that_the_kernel_did_not_name_is_nobody(daemon: Daemon, client: Any) -> None:
    transport = httpx.ASGITransport(build_app(daemon.service), client=client)
    async with httpx.AsyncClient(transport=transport, base_url="http://runbookd") as stranger:
        for path in ("/v1/health", "/v1/sessions", "/v1/runbooks", "/v1/approvals"):
            assert "peer is unknown" in problem(await stranger.get(path)).message


async def test_every_route_asks_who_is_there(daemon: Daemon) -> None:
    for route in build_app(daemon.service).routes:
        dependant = getattr(route, "dependant", None)
        if dependant is not None:
            called = {each.call for each in dependant.dependencies}
            assert peer in called, route


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RecordError("the record is damaged", "look"), 500, 4),
        (InputError("no such thing", "look"), 400, 2),
        (ValueError("a\nfault \x1b[31mof ours"), 500, 1),
        (AssertionError(), 500, 1),
    ],
)
async def test_a_fault_of_ours_is_told_as_one_and_not_as_a_traceback(
    daemon: Daemon,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
    code: int,
) -> None:
    async def broken() -> Any:
        raise error

    monkeypatch.setattr(daemon.service, "list", broken)
    transport = httpx.ASGITransport(
        build_app(daemon.service), client=("uid", 1001), raise_app_exceptions=False
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://runbookd") as http:
        answer = await http.get("/v1/sessions")
    assert answer.status_code == status
    assert problem(answer).exit_code == code
    assert "\x1b" not in problem(answer).message


async def test_asking_anything_counts_as_use_of_the_daemon(
    http: httpx.AsyncClient, daemon: Daemon
) -> None:
    for path in ("/v1/health", "/v1/sessions", "/v1/runbooks", "/v1/approvals"):
        daemon.service.last_used = 0
        await http.get(path)
        assert daemon.service.last_used > 0, path


async def test_whoever_follows_is_counted_while_they_do(
    http: httpx.AsyncClient, daemon: Daemon
) -> None:
    session = await daemon.open(BOOK)
    stream = daemon.service.events(session, 0, follow=True)
    await anext(stream)
    assert daemon.service.followers == 1
    closing = asyncio.create_task(stream.aclose())  # type: ignore[attr-defined]
    await closing
    assert daemon.service.followers == 0
