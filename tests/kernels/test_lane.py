"""The sentence about the lane comes when a wall was hit, and only then."""

from typing import Any

import pytest

from runbookd.kernels.kernel import KernelOutput
from runbookd.kernels.lane import explain
from runbookd.kernels.sandbox import Walls
from tests.kernels.conftest import StartKernel


@pytest.mark.parametrize(
    "error",
    [
        "PermissionError: [Errno 13] Permission denied: '/etc/hosts'",
        "OSError: [Errno 30] Read-only file system: '/x'",
        "OSError: [Errno 1] Operation not permitted",
        "bash: /etc/x: Permission denied",
        "Error: EACCES: permission denied, open '/x'",
    ],
)
def test_a_wall_of_the_sandbox_is_explained(error: str) -> None:
    said = explain(error)
    assert "read-only lane" in said
    assert "scratch" in said
    assert "gated cell" in said
    assert "\n" not in said


def test_a_refused_request_is_explained() -> None:
    body = '{"error": "runbookd: the read-only lane allows GET /* on x; POST /y is refused"}'
    assert "connectors" in explain(body)


@pytest.mark.parametrize(
    "error",
    [
        "",
        "NameError: name 'x' is not defined",
        "OSError: [Errno 111] Connection refused",
        "[Errno 131]",
    ],
)
def test_other_errors_are_not_blamed_on_the_lane(error: str) -> None:
    assert explain(error) == ""


@pytest.mark.parametrize("lane", ["read-only", "gated"])
@pytest.mark.parametrize(
    ("error", "setting"),
    [
        ("MemoryError", "memory"),
        ("OSError: [Errno 12] Cannot allocate memory", "memory"),
        ("the kernel is gone: it was ended by SIGKILL", "memory"),
        ("RuntimeError: can't start new thread", "processes"),
        ("BlockingIOError: [Errno 11] Resource temporarily unavailable", "processes"),
        ("OSError: [Errno 27] File too large", "output"),
        ("the kernel is gone: it was ended by SIGXFSZ", "output"),
    ],
)
def test_a_limit_is_explained_with_the_setting_that_sets_it(
    lane: Any, error: str, setting: str
) -> None:
    assert f"`{setting}` of lanes.{lane} in the policy" in explain(error, lane)


@pytest.mark.parametrize("lane", ["read-only", "gated"])
def test_a_cell_that_asks_for_input_is_told_where_values_come_from(lane: Any) -> None:
    assert "parameter" in explain("StdinNotImplementedError: raw_input was called, but", lane)


def test_too_many_open_files_are_explained() -> None:
    assert "close those" in explain("OSError: [Errno 24] Too many open files: '/etc/hosts'")


def test_the_gated_lane_s_walls_are_not_called_those_of_the_read_only_lane() -> None:
    assert explain("PermissionError: [Errno 13] Permission denied", "gated") == ""


@pytest.mark.parametrize(
    ("walls", "source", "setting"),
    [
        (Walls(memory=2**29), "x = bytearray(2**30)", "memory"),
        (Walls(file_size=2**20), "open('long', 'wb').write(bytes(2**21))", "output"),
        (Walls(), "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "memory"),
        (Walls(), "input()", "parameter"),
    ],
)
async def test_what_a_kernel_says_at_a_limit_is_understood(
    start_kernel: StartKernel, walls: Walls, source: str, setting: str
) -> None:
    kernel = await start_kernel(walls=walls)

    async def ignore(output: KernelOutput) -> None:
        del output

    outcome = await kernel.execute(source, ignore, 20)
    assert setting in explain(outcome.error)
