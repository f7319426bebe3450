"""A kernel that speaks the protocol badly on purpose harms nobody but itself."""

from pathlib import Path

from runbookd.kernels.kernel import Kernel, KernelOptions
from runbookd.kernels.outputs import Gathering, KernelOutput
from runbookd.kernels.sandbox import Walls, probe

BARE_FRAME = "get_ipython().kernel.iopub_socket.send_multipart([b'<IDS|MSG>'])"


async def test_a_frame_that_is_no_message_is_passed_over(tmp_path: Path) -> None:
    sandbox, _ = probe()
    options = KernelOptions("python3", "read-only", tmp_path / "scratch", Walls())
    said: list[KernelOutput] = []

    async def keep(output: KernelOutput) -> None:
        said.append(output)

    kernel = await Kernel.start(options, sandbox)
    try:
        await kernel.execute(BARE_FRAME, keep, 20)
        assert kernel.alive
        assert (await kernel.execute("print('still here')", keep, 20)).status == "ok"
        assert "still here" in "".join(str(output.mimes) for output in said)
    finally:
        await kernel.end()


async def test_a_kernel_that_ends_itself_has_died_and_was_not_interrupted(tmp_path: Path) -> None:
    sandbox, _ = probe()
    options = KernelOptions("python3", "read-only", tmp_path / "scratch", Walls())

    async def ignore(output: KernelOutput) -> None:
        del output

    kernel = await Kernel.start(options, sandbox)
    try:
        outcome = await kernel.execute("import os; os._exit(3)", ignore, 20)
        assert outcome.status == "died"
    finally:
        await kernel.end()


def test_errors_count_towards_the_limit_and_one_more_is_kept() -> None:
    gathering = Gathering(limit=100_000)
    for _ in range(50):
        gathering.add("error", {"ename": "E", "evalue": "", "traceback": ["x" * 10_000]}, 0.0)
    pieces = gathering.flush()
    kept = sum(len(str(value)) for piece in pieces for value in piece.mimes.values())
    assert kept < 200_000
    assert any("was not kept" in str(piece.mimes) for piece in pieces)


def test_a_great_many_empty_representations_count() -> None:
    gathering = Gathering(limit=100_000)
    gathering.add("display_data", {"data": {f"x/{n}": "" for n in range(60_000)}}, 0.0)
    assert all(len(piece.mimes) < 1000 for piece in gathering.flush())
