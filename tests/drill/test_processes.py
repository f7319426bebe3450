"""The drill's programs, as processes of their own in an empty folder."""

import asyncio
import json
import os
import re
import signal
import stat
import sys
from contextlib import asynccontextmanager

import httpx
import pytest


@asynccontextmanager
async def program(name, *arguments, ready, cwd, **env):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-W",
        "error",
        "-m",
        f"runbookd.drill.{name}",
        *map(str, arguments),
        cwd=cwd,
        env={**os.environ, **env},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(20):
            while not ready.exists() and process.returncode is None:
                await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        output, _ = await process.communicate()
    assert output == b""


async def ended(process):
    async with asyncio.timeout(10):
        return await process.wait()


async def test_the_world_writes_down_where_everything_is_and_ends_at_sigterm(tmp_path):
    ready = tmp_path / "world.json"
    async with program("world", "--folder", tmp_path, ready=ready, cwd=tmp_path) as process:
        assert stat.S_IMODE(ready.stat().st_mode) == 0o600
        world = json.loads(ready.read_text())
        assert world["pid"] == process.pid
        async with httpx.AsyncClient(trust_env=False) as http:
            checkout, slack = world["checkout"], world["slack"]
            token = {"Authorization": f"Bearer {checkout['admin_token']}"}
            assert (await http.get(f"{checkout['url']}/healthz")).json() == {"status": "ok"}
            assert (await http.get(f"{checkout['url']}/admin/pool", headers=token)).is_success
            bot = {"Authorization": f"Bearer {slack['bot_token']}"}
            assert (await http.post(f"{slack['api_url']}auth.test", headers=bot)).json()["ok"]
            assert "incidents" in (await http.get(slack["url"])).text
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0


async def test_the_world_ends_when_its_folder_is_gone(tmp_path):
    folder = tmp_path / "drill"
    folder.mkdir()
    ready = folder / "world.json"
    async with program("world", "--folder", folder, ready=ready, cwd=tmp_path) as process:
        for entry in folder.iterdir():
            entry.unlink()
        folder.rmdir()
        assert await ended(process) == 0


async def test_every_run_has_tokens_of_its_own(tmp_path):
    worlds = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        ready = folder / "world.json"
        async with program("world", "--folder", folder, ready=ready, cwd=tmp_path):
            worlds.append(json.loads(ready.read_text()))
    for part, token in (
        ("checkout", "admin_token"),
        ("slack", "bot_token"),
        ("slack", "app_token"),
    ):
        assert worlds[0][part][token] != worlds[1][part][token]


async def test_the_checkout_service_runs_alone(tmp_path):
    port = tmp_path / "port"
    arguments = ("--log", tmp_path / "log", "--port-file", port, "--admin-token-env", "T")
    async with program("checkout", *arguments, ready=port, cwd=tmp_path, T="s3cret") as process:
        async with httpx.AsyncClient(trust_env=False) as http:
            base = f"http://127.0.0.1:{int(port.read_text())}"
            assert (await http.get(f"{base}/version")).json()["service"] == "checkout"
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0


async def test_the_slack_stand_in_runs_alone(tmp_path):
    ready = tmp_path / "slack.json"
    env = {"SLACK_BOT_TOKEN": "xoxb-given", "SLACK_APP_TOKEN": "xapp-given"}
    arguments = ("--ready-file", ready, "--no-rate-limits")
    async with program("slack", *arguments, ready=ready, cwd=tmp_path, **env) as process:
        described = json.loads(ready.read_text())
        assert (described["bot_token"], described["app_token"]) == ("xoxb-given", "xapp-given")
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("checkout", ["--log", "log", "--port-file", "p"], "CHECKOUT_ADMIN_TOKEN holds no admin"),
        ("world", ["--folder", "nowhere"], "'nowhere' does not exist"),
        ("slack", ["--ready-file", "f", "--port", "99999"], "not in the range"),
    ],
)
async def test_wrong_usage_is_one_message_and_no_traceback(tmp_path, name, arguments, says):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"runbookd.drill.{name}", *arguments),
        cwd=tmp_path,
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await process.communicate()
    assert process.returncode == 2
    text = re.sub(r"\s+", " ", errors.decode())
    assert says in text
    assert "Traceback" not in text
    assert list(tmp_path.iterdir()) == []
