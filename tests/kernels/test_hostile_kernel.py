"""A kernel that speaks the protocol badly on purpose harms nobody but itself."""

from pathlib import Path

from runbookd.kernels.kernel import Kernel, KernelOptions, Outcome
from runbookd.kernels.outputs import Gathering, KernelOutput
from runbookd.kernels.sandbox import NoSandbox, Walls, probe

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


LONG = 5 * 1024 * 1024
"""Longer than any message that is looked into whatever the limit."""

FORGED = f"""
kernel = get_ipython().kernel
said = kernel.session.msg("stream", {{"name": "stdout", "text": "x" * {LONG}}})
frames = kernel.session.serialize(said)
place = frames.index(b"<IDS|MSG>") + 1
frames[place] = b"0" * 64
kernel.iopub_socket.send_multipart(frames)
"""

LONG_ANSWER = f"""
kernel = get_ipython().kernel
send = kernel.session.send
def longer(stream, kind, content=None, *args, **more):
    if kind == "execute_reply":
        content = {{**content, "padding": "x" * {LONG}}}
    return send(stream, kind, content, *args, **more)
kernel.session.send = longer
"""


async def run(tmp_path: Path, *sources: str) -> tuple[list[Outcome], str]:
    """What sources come to, and all that is said meanwhile, under a short limit."""
    options = KernelOptions(
        "python3", "read-only", tmp_path / "scratch", Walls(), output_limit=1000_000
    )
    said: list[KernelOutput] = []

    async def keep(output: KernelOutput) -> None:
        said.append(output)

    kernel = await Kernel.start(options, NoSandbox())
    try:
        outcomes = [await kernel.execute(source, keep, 20) for source in sources]
    finally:
        await kernel.end()
    return outcomes, "".join(str(value) for each in said for value in each.mimes.values())


async def test_a_message_longer_than_all_that_is_kept_is_left_out_and_said_so(
    tmp_path: Path,
) -> None:
    source = f"print('x' * {LONG}); print('y' * {LONG}, flush=True); 1 / 0"
    [outcome], said = await run(tmp_path, source)
    assert outcome.status == "error"
    assert "bytes was not kept; `output` of lanes.read-only in the policy" in said
    assert "ZeroDivisionError" in said
    assert "xx" not in said


async def test_a_message_under_that_length_is_cut_at_the_limit(tmp_path: Path) -> None:
    _, said = await run(tmp_path, "print('x' * 3_000_000)")
    assert said.count("x") == 1000_000


async def test_a_long_message_without_the_kernel_s_signature_is_passed_over(
    tmp_path: Path,
) -> None:
    outcomes, said = await run(tmp_path, FORGED, "print('still here')")
    assert [outcome.status for outcome in outcomes] == ["ok", "ok"]
    assert said == "still here\n"


async def test_an_answer_that_is_too_long_ends_the_cell_as_failed(tmp_path: Path) -> None:
    outcomes, _ = await run(tmp_path, LONG_ANSWER, "1")
    assert [outcome.status for outcome in outcomes] == ["error", "error"]
    assert "too long to be taken" in outcomes[1].error


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
