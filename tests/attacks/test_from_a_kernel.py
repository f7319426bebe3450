"""Every attack from a cell of a real ipykernel inside the walls."""

import contextlib
import json
import os
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from runbookd.kernels.sandbox import LandlockSandbox, attacker, kill_tree
from runbookd.kernels.sandbox.victim import Victim

SOURCE = Path(attacker.__file__).read_text()
NAMES = [
    name
    for name, _ in attacker.attacks(
        {
            "outside": "", "scratch": "", "hidden": "", "victim": 0, "listeners": {},
            "declared": ("", 0), "token": "",
        }
    )
]  # fmt: skip


class Cells:
    """A kernel behind walls, and its answers."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, code: str) -> str:
        """What a cell prints; an error is printed by its name and text."""
        printed: list[str] = []

        def hook(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] == "stream":
                printed.append(content["text"])
            elif message["msg_type"] == "error":
                printed.append(f"{content['ename']}: {content['evalue']}")

        self._client.execute_interactive(code, timeout=60, output_hook=hook)
        return "".join(printed).strip()


def wait_until_ready(client: BlockingKernelClient) -> None:
    """Until the kernel answers and its output is heard.

    The client's own wait takes a slow start for a death.
    """
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        client.kernel_info()
        with contextlib.suppress(queue.Empty):
            client.get_iopub_msg(timeout=1)
            client.get_shell_msg(timeout=1)
            return
    raise AssertionError("the kernel does not answer")


@pytest.fixture(scope="module")
def victim() -> Iterator[Victim]:
    with Victim() as ours:
        yield ours


@pytest.fixture(scope="module")
def cells(sandbox: LandlockSandbox, victim: Victim) -> Iterator[Cells]:
    scratch = victim.scratch
    file, info = write_connection_file(fname=str(scratch / "connection.json"))
    ports = tuple(value for name, value in info.items() if name.endswith("_port"))
    walls = victim.walls.model_copy(update={"bind": (*victim.walls.bind, *ports)})
    process = sandbox.spawn(
        [sys.executable, "-m", "ipykernel_launcher", "-f", file],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "IPYTHONDIR": str(scratch / "ipython"),
        },
        cwd=scratch,
        walls=walls,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = BlockingKernelClient(connection_file=file)
    client.load_connection_file()
    client.start_channels()
    try:
        wait_until_ready(client)
        yield Cells(client)
    finally:
        client.stop_channels()
        client.context.destroy()
        assert kill_tree(process)


@pytest.fixture(scope="module")
def verdict(cells: Cells, victim: Victim) -> tuple[dict[str, bool], tuple[str, ...]]:
    targets = victim.targets()
    said = cells.run(
        f"attacker = {{'__name__': 'attacker'}}\n"
        f"exec({SOURCE!r}, attacker)\n"
        f"import json\n"
        f"print(json.dumps(attacker['main'](json.loads({targets!r}))))"
    )
    rows, broken = victim.judge(json.loads(said.splitlines()[-1]))
    return {row.attack: row.denied for row in rows}, broken


@pytest.mark.parametrize("attack", NAMES)
def test_an_attack_from_a_cell_is_denied(
    attack: str, verdict: tuple[dict[str, bool], tuple[str, ...]]
) -> None:
    assert verdict[0][attack]


def test_what_a_cell_needs_works(verdict: tuple[dict[str, bool], tuple[str, ...]]) -> None:
    assert verdict[1] == ()


def test_shell_commands_work_in_a_cell(cells: Cells) -> None:
    assert cells.run("!echo from a shell") == "from a shell"
    assert cells.run("%%bash\necho from a script") == "from a script"


def test_a_shell_command_meets_the_same_walls(cells: Cells, victim: Victim) -> None:
    hidden = json.loads(victim.targets())["hidden"]
    assert "Permission denied" in cells.run(f"!cat {hidden}")
    assert "Permission denied" in cells.run(f"!echo attacked > {Path(hidden).parents[1]}/new")


def test_temporary_files_and_copies_work_in_a_cell(cells: Cells) -> None:
    code = """
import shutil, tempfile
with tempfile.TemporaryDirectory() as folder:
    print(open(shutil.copy("/etc/passwd", folder)).read() == open("/etc/passwd").read())
"""
    assert cells.run(code) == "True"


def test_threads_and_processes_work_in_a_cell(cells: Cells) -> None:
    code = """
import asyncio, concurrent.futures, subprocess, sys
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(sum(pool.map(int, "1234")))
print(subprocess.run([sys.executable, "-c", "print(5)"], capture_output=True, text=True).stdout)
"""
    assert cells.run(code).split() == ["10", "5"]


def test_an_error_in_a_cell_is_the_walls_own_word(cells: Cells) -> None:
    assert cells.run("open('/etc/runbookd-attack', 'w')") == (
        "PermissionError: [Errno 13] Permission denied: '/etc/runbookd-attack'"
    )


def test_environments_of_other_kernels_cannot_be_read(
    cells: Cells, sandbox: LandlockSandbox, victim: Victim
) -> None:
    other = sandbox.spawn(
        [sys.executable, "-I", "-S", "-c", "print('up', flush=True); input()"],
        env={"TOKEN": "of the other kernel"},
        cwd=victim.scratch,
        walls=victim.walls,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        assert "PermissionError" in cells.run(f"open('/proc/{other.pid}/environ').read()")
        assert "PermissionError" in cells.run(f"import os; os.kill({other.pid}, 15)")
        assert other.poll() is None
    finally:
        assert kill_tree(other)
        other.communicate()
