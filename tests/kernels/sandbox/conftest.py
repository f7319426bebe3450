"""Programs behind real walls."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runbookd.kernels.sandbox import LandlockSandbox, Walls, kill_tree, landlock
from runbookd.kernels.sandbox.cgroup import Roots
from runbookd.kernels.sandbox.process import SandboxedProcess
from runbookd.kernels.sandbox.syscalls import this_machine

Start = Callable[..., SandboxedProcess]
Run = Callable[..., str]


@pytest.fixture(scope="session")
def sandbox() -> LandlockSandbox:
    machine = this_machine()
    if machine is None or landlock.abi() < landlock.OLDEST_ABI:
        pytest.skip("this machine cannot enforce the sandbox")
    return LandlockSandbox(machine)


@pytest.fixture
def without_groups() -> LandlockSandbox:
    """As an ordinary user of most machines has it."""
    machine = this_machine()
    assert machine is not None
    return LandlockSandbox(machine, groups=Roots(None, None))


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def start(sandbox: LandlockSandbox, scratch: Path) -> Iterator[Start]:
    """Starts Python code behind walls; ends it, with everything it started."""
    started: list[SandboxedProcess] = []

    def start(
        code: str,
        *arguments: object,
        env: dict[str, str] | None = None,
        by: LandlockSandbox = sandbox,
        **walls: object,
    ):
        process = by.spawn(
            [sys.executable, "-I", "-S", "-c", code, *map(str, arguments)],
            env=env or {},
            cwd=scratch,
            walls=Walls.model_validate({"scratch": scratch, **walls}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert isinstance(process, SandboxedProcess)
        started.append(process)
        return process

    yield start
    for process in started:
        assert kill_tree(process)
        process.communicate()
        assert process.broker.gone.wait(5)
        process.broker.join(5)


@pytest.fixture
def run(start: Start) -> Run:
    """Runs Python code behind walls, and gives what it printed."""

    def run(code: str, *arguments: object, **options: object) -> str:
        printed, _ = start(code, *arguments, **options).communicate(timeout=30)
        return printed.decode().strip()

    return run
