"""A kernel behind its walls against one without: its start, an empty cell, a large import.

The two take turns, and change who goes first, so that a slow moment of the machine hits both.
"""

import compileall
import sysconfig
import tempfile
from functools import partial
from pathlib import Path

from runbookd.kernels.kernel import Kernel, KernelOptions
from runbookd.kernels.outputs import KernelOutput
from runbookd.kernels.sandbox import NoSandbox, Sandbox, Walls, probe
from tests.benchmarks.measure import say, timed

ROUNDS = 11
CELLS = 200


async def _ignore(output: KernelOutput) -> None:
    del output


async def _start(sandbox: Sandbox, folder: str) -> tuple[Kernel, float]:
    options = KernelOptions("python3", "read-only", Path(folder) / "scratch", Walls())
    kernels: list[Kernel] = []

    async def work() -> None:
        kernels.append(await Kernel.start(options, sandbox))

    seconds = await timed(work)
    return kernels[0], seconds


async def _run(kernel: Kernel, source: str) -> None:
    outcome = await kernel.execute(source, _ignore)
    if outcome.status != "ok":
        raise RuntimeError(f"{source!r} ended as {outcome.status}: {outcome.error}")


async def _one_kernel(sandbox: Sandbox) -> tuple[float, float]:
    """Seconds until it is ready, and seconds of ``import pandas``."""
    with tempfile.TemporaryDirectory() as folder:
        kernel, ready = await _start(sandbox, folder)
        try:
            return ready, await timed(partial(_run, kernel, "import pandas"))
        finally:
            await kernel.end()


async def _cells(walled: Sandbox) -> tuple[list[float], list[float]]:
    """Seconds of empty cells in two kernels that take turns: behind walls, and without."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        inside, _ = await _start(walled, one)
        try:
            outside, _ = await _start(NoSandbox(), two)
            try:
                ours, peers = [], []
                for turn in range(CELLS):
                    pair = [(inside, ours), (outside, peers)]
                    for kernel, times in pair[:: 1 if turn % 2 else -1]:
                        times.append(await timed(partial(_run, kernel, "")))
            finally:
                await outside.end()
        finally:
            await inside.end()
    return ours, peers


async def kernels() -> None:
    """Print the three ratios."""
    # Some installers leave that to the first import, and kernels write no bytecode: compiling
    # anew each time would hide what is measured.
    compileall.compile_dir(sysconfig.get_path("purelib"), quiet=2, workers=0)
    walled, _ = probe()
    against = f"{walled.level} against no sandbox"
    ours, peers = [], []
    # The first round warms the machine's caches and does not count.
    for turn in range(-1, ROUNDS):
        pair = [(walled, ours), (NoSandbox(), peers)]
        for sandbox, times in pair[:: 1 if turn % 2 else -1]:
            measured = await _one_kernel(sandbox)
            if turn >= 0:
                times.append(measured)
    say("kernel start", [one for one, _ in ours], [one for one, _ in peers], against)
    say("import pandas", [two for _, two in ours], [two for _, two in peers], against)
    say("empty cell", *await _cells(walled), against)
