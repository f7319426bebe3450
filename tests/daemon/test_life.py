"""The life of real daemons: starting, sharing, dying and leaving nothing behind."""

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from runbookd.client.client import DaemonClient
from runbookd.client.spawn import ensure_daemon
from runbookd.errors import DaemonUnavailable
from runbookd.settings import Settings, load_settings
from tests.daemon.conftest import Start
from tests.daemon.served import Served, environment
from tests.session.world import FIX, LOOK, notebook

BOOK = notebook(LOOK, FIX)


def runbook(folder: Path) -> str:
    path = folder / "runbooks" / "checkout.ipynb"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(BOOK)
    return str(path)


def serve(home: Path, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """``runbookd serve`` where it is expected to leave again."""
    return subprocess.run(
        [sys.executable, "-m", "runbookd", "serve"],
        env=environment(home, folder, settings),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
    )


def opened(served: Served, folder: Path) -> str:
    status, info = served.call("POST", "/v1/sessions", {"runbook": runbook(folder)})
    assert status == 201, info
    return str(info["id"])


def kernels(served: Served) -> list[psutil.Process]:
    """The daemon's processes once it has a kernel."""
    sessions = served.home / "sessions"
    while not any(
        b'"kernel.started"' in path.read_bytes() for path in sessions.glob("*/record.jsonl")
    ):
        psutil.Process(served.process.pid).children()
    return served.tree()


def test_a_daemon_leaves_no_process_no_socket_and_no_lock(tmp_path: Path, start: Start) -> None:
    served = start()
    session = opened(served, tmp_path)
    processes = kernels(served)
    assert len(processes) > 1
    code = served.end()
    assert code == 0, served.said
    gone, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == []
    assert len(gone) == len(processes)
    assert not served.socket.exists()
    assert (served.home / "daemon.lock").read_text() == ""
    record = served.home / "sessions" / session / "record.jsonl"
    assert json.loads(record.read_text().splitlines()[-1])["type"] in {"kernel.ended", "checkpoint"}


def test_what_a_daemon_makes_is_for_its_owner_only(tmp_path: Path, start: Start) -> None:
    served = start()
    session = opened(served, tmp_path)
    for path in [
        served.home,
        served.home / "sessions" / session,
        served.home / "keys",
        served.home / "log",
        served.socket.parent,
    ]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for path in [
        served.socket,
        served.home / "daemon.lock",
        served.home / "keys" / "record.key",
        *(served.home / "sessions" / session).glob("*.*"),
    ]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_second_daemon_says_who_serves_and_leaves(tmp_path: Path, start: Start) -> None:
    served = start()
    second = serve(served.home, tmp_path)
    assert second.returncode == 5
    assert second.stderr == (
        f"runbookd: a daemon (process {served.process.pid}) already serves {served.home}; "
        "use it, or end it first\n"
    )
    assert served.call("GET", "/v1/health")[0] == 200, "the first one goes on"


def test_after_kill_9_the_next_daemon_takes_everything_up(tmp_path: Path, start: Start) -> None:
    first = start()
    session = opened(first, tmp_path)
    processes = kernels(first)
    first.kill()
    _, alive = psutil.wait_procs(processes, timeout=10)
    assert alive == [], "kernels do not outlive their daemon"
    assert first.socket.exists()
    second = start()
    assert second.socket == first.socket
    status, info = second.call("GET", f"/v1/sessions/{session}")
    assert (status, info["closed"], info["problem"]) == (200, None, "")
    record = (second.home / "sessions" / session / "record.jsonl").read_text()
    assert '"recovered"' in record


def test_broken_sessions_keep_no_daemon_from_serving_the_others(
    tmp_path: Path, start: Start
) -> None:
    first = start()
    whole = opened(first, tmp_path)
    first.end()
    sessions = first.home / "sessions"
    made = {
        "20250101-000000-empty-0000": b"",
        "20250101-000000-garbage-0000": b"\x00\xff not json\n",
        "20250101-000000-cut-0000": b'{"v": 1, "log"',
        "20250101-000000-list-0000": b"[1, 2]\n",
        "20250101-000000-nested-0000": b"[" * 100_000 + b"\n",
    }
    for name, raw in made.items():
        (sessions / name).mkdir()
        (sessions / name / "record.jsonl").write_bytes(raw)
    (sessions / "not-a-session").mkdir()
    (sessions / "stray.txt").write_text("")
    second = start()
    status, listed = second.call("GET", "/v1/sessions")
    assert status == 200, listed
    problems = {info["id"]: info["problem"] for info in listed}
    assert set(problems) == {whole, *made}
    assert problems[whole] == ""
    assert all(problems[name] and "\n" not in problems[name] for name in made)
    for name in made:
        command = {"type": "note", "text": "still there?"}
        status, told = second.call("POST", f"/v1/sessions/{name}/commands", command)
        assert (status, told["exit_code"]) == (500, 4), told
    status, _ = second.call(
        "POST", f"/v1/sessions/{whole}/commands", {"type": "note", "text": "here"}
    )
    assert status == 202


@pytest.mark.parametrize("home", ["file", "file/below"])
def test_a_home_that_cannot_be_written_is_one_line(tmp_path: Path, home: str) -> None:
    (tmp_path / "file").write_text("")
    done = serve(tmp_path / home, tmp_path)
    assert done.returncode == 5
    assert done.stderr.startswith(f"runbookd: the home {tmp_path / home} cannot be written")
    assert done.stderr.count("\n") == 1


def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("mine")
    done = serve(tmp_path / "home", tmp_path, socket=str(notes))
    assert done.returncode == 5
    assert "is there and is not a socket" in done.stderr
    assert done.stderr.count("\n") == 1
    assert notes.read_text() == "mine"


def test_a_socket_path_that_is_too_long_is_one_line(tmp_path: Path) -> None:
    done = serve(tmp_path / "home", tmp_path, socket=str(tmp_path / ("x" * 120)))
    assert done.returncode == 5
    assert done.stderr.startswith("runbookd: the daemon cannot bind")
    assert done.stderr.count("\n") == 1


def test_a_wrong_policy_starts_nothing(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "production.yaml").write_text("version: 1\nrulez: []\n")
    done = serve(tmp_path / "home", tmp_path)
    assert done.returncode == 2
    assert "production.yaml, line 2" in done.stderr
    assert 'unknown key "rulez"' in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "home" / "sessions").exists()


def test_sigint_ends_it_as_sigterm_does(tmp_path: Path, start: Start) -> None:
    served = start()
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(30) == 0
    assert not served.socket.exists()


# ---- daemons that clients start --------------------------------------------------------------


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in environment(tmp_path / "home", tmp_path, {}).items():
        monkeypatch.setenv(name, value)
    return load_settings()


def daemons(home: Path) -> list[psutil.Process]:
    """The processes that serve ``home``."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] and "serve" in process.info["cmdline"][-2:]:
            try:
                serves = process.environ().get("RUNBOOKD_HOME")
            except psutil.Error:
                continue
            if serves == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def end(settings: Settings) -> None:
    for process in daemons(settings.home):
        process.terminate()
        process.wait(30)
    assert not settings.socket.exists()


async def test_clients_that_start_at_once_share_one_daemon(settings: Settings) -> None:
    try:

        async def health() -> int:
            async with DaemonClient(settings) as client:
                return (await client.health()).pid

        pids = await asyncio.gather(*(health() for _ in range(3)))
        assert len(set(pids)) == 1
        # Who came too late finds that out for itself, and leaves; that may take it a moment.
        late = [process for process in daemons(settings.home) if process.pid != pids[0]]
        _, stayed = await asyncio.to_thread(psutil.wait_procs, late, 30)
        assert not stayed
        assert [process.pid for process in daemons(settings.home)] == [pids[0]]
        assert os.getsid(pids[0]) == pids[0], "it outlives the terminal"
    finally:
        await asyncio.to_thread(end, settings)


async def test_a_daemon_that_was_started_on_demand_leaves_when_nobody_needs_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RUNBOOKD_IDLE_EXIT_S", "1")
    await ensure_daemon(settings)
    [process] = daemons(settings.home)
    await asyncio.to_thread(process.wait, 30)
    assert not settings.socket.exists()


async def test_a_daemon_that_was_started_on_demand_stays_while_a_session_is_open(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from runbookd.api import CloseSession, OpenSession

    monkeypatch.setenv("RUNBOOKD_IDLE_EXIT_S", "1")
    try:
        async with DaemonClient(settings) as client:
            info = await client.open(OpenSession(runbook=runbook(tmp_path)))
            [process] = daemons(settings.home)
            with pytest.raises(psutil.TimeoutExpired):
                await asyncio.to_thread(process.wait, 3)
            await client.command(info.id, CloseSession())
        await asyncio.to_thread(process.wait, 30)
    finally:
        await asyncio.to_thread(end, settings)


async def test_why_a_daemon_cannot_start_is_told_to_the_client(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "production.yaml").write_text("version: 1\nrulez: []\n")
    with pytest.raises(DaemonUnavailable, match=r"production\.yaml, line 2.*rulez") as told:
        await ensure_daemon(settings)
    assert "\n" not in str(told.value)
    assert daemons(settings.home) == []


async def test_without_a_daemon_and_leave_to_start_one_that_is_said(settings: Settings) -> None:
    with pytest.raises(DaemonUnavailable, match="no daemon serves"):
        await ensure_daemon(settings, start=False)
    assert not settings.home.exists()
