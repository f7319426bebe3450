"""A real daemon in a process of its own, and its processes."""

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

NOBODY = 65534


def environment(home: Path, folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """What a command needs to use ``home``, with runbooks and policies beside it."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "RUNBOOKD_HOME": str(home),
        "RUNBOOKD_RUNBOOKS": str(folder / "runbooks"),
        "RUNBOOKD_POLICIES": str(folder / "policies"),
        **{f"RUNBOOKD_{name.upper()}": value for name, value in settings.items()},
    }


class Served:
    """``runbookd serve``, from its first words to the end of its last process."""

    def __init__(
        self, home: Path, folder: Path, settings: dict[str, str], *, wait: bool = True
    ) -> None:
        self.home = home
        self.environment = environment(home, folder, settings)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "runbookd", "serve"],
            env=self.environment,
            cwd="/",
            stderr=subprocess.PIPE,
        )
        self.said = ""
        self.socket = Path()
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Read what it says until it serves, or left."""
        assert self.process.stderr is not None
        end = time.monotonic() + 60
        while time.monotonic() < end:
            ready, _, _ = select.select([self.process.stderr], [], [], 60)
            line = self.process.stderr.readline().decode() if ready else ""
            self.said += line
            if line.startswith("runbookd serves"):
                self.socket = Path(line.rpartition(" on ")[2].strip())
                return
            if not line:
                break
        self.process.wait(60)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """One request as this user; the status, and the JSON of the answer."""
        return call(self.socket, method, path, body, **headers)

    def tree(self) -> list[psutil.Process]:
        """The daemon and every process below it."""
        top = psutil.Process(self.process.pid)
        return [top, *top.children(recursive=True)]

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait(30)

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            assert self.process.stderr is not None
            self.process.stderr.close()
        return code


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("runbookd", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(30)
        self.sock.connect(str(self._path))


def call(path: Path, method: str, url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """One HTTP request over a Unix socket."""
    with contextlib.closing(_Connection(path)) as connection:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        raw = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method, url, raw, {"Content-Type": "application/json", **named})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None


AS_NOBODY = """
import http.client, json, socket, sys
path, calls = sys.argv[1], json.loads(sys.argv[2])
for method, url, body, headers in calls:
    connection = http.client.HTTPConnection("runbookd", timeout=30)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(path)
    headers = {"Content-Type": "application/json", **headers}
    connection.request(method, url, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    print(json.dumps([answer.status, json.loads(answer.read())]))
    connection.close()
"""


def as_nobody(path: Path, *calls: tuple[str, str, Any]) -> list[Any]:
    """Requests by another user of this machine; [status, answer] of each."""
    headers = {"X-Forwarded-For": "root", "X-Remote-User": "root", "X-Uid": "0"}
    wanted = json.dumps([[*each, headers] for each in calls])
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", AS_NOBODY, str(path), wanted],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={"PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
