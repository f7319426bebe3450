"""``make bench``: ratios against a peer or a physical limit measured in the same run.

Each figure is a median; absolute times are printed for orientation only.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from runbookd.clock import SystemClock
from runbookd.events import DAEMON, NoteAdded, NoteData
from runbookd.kernels.kernel import Kernel, KernelOptions
from runbookd.kernels.outputs import KernelOutput
from runbookd.kernels.sandbox import NoSandbox, Sandbox, Walls, probe
from runbookd.record.keys import load_or_create_key
from runbookd.record.redaction import Redactor
from runbookd.record.writer import RecordWriter

ROUNDS = 7
CELLS = 60
APPENDS = 300


async def _ignore(output: KernelOutput) -> None:
    del output


async def _kernel(sandbox: Sandbox) -> tuple[float, float]:
    """Seconds until a kernel is ready, and the median seconds of an empty cell."""
    with tempfile.TemporaryDirectory() as folder:
        options = KernelOptions("python3", "read-only", Path(folder) / "scratch", Walls())
        began = time.perf_counter()
        kernel = await Kernel.start(options, sandbox)
        ready = time.perf_counter() - began
        try:
            cells = [await _timed(lambda: kernel.execute("", _ignore)) for _ in range(CELLS)]
        finally:
            await kernel.end()
    return ready, statistics.median(cells)


async def _timed(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def kernels() -> None:
    """A kernel behind its walls against one without."""
    walled, _ = probe()
    pairs = [(await _kernel(walled), await _kernel(NoSandbox())) for _ in range(ROUNDS)]
    for index, name in enumerate(("kernel start", "empty cell")):
        inside = statistics.median(pair[0][index] for pair in pairs)
        outside = statistics.median(pair[1][index] for pair in pairs)
        _say(name, inside, outside, f"{walled.level} against no sandbox")


async def appends() -> None:
    """Durable appends, one at a time, against write and fsync of the same bytes."""
    with tempfile.TemporaryDirectory() as name:
        home, folder = Path(name), Path(name) / "session"
        writer = await RecordWriter.create(
            folder,
            log="bench/runbookd/session",
            key=load_or_create_key(home),
            clock=SystemClock(),
            redactor=Redactor({}, ()),
        )
        note = NoteAdded(data=NoteData(text="x" * 600))
        times = [await _timed(lambda: writer.append(note, actor=DAEMON)) for _ in range(APPENDS)]
        await writer.close()
        size = (folder / "record.jsonl").stat().st_size // APPENDS
        descriptor = os.open(home / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        bare = []
        for _ in range(APPENDS):
            began = time.perf_counter()
            os.write(descriptor, b"x" * size)
            os.fsync(descriptor)
            bare.append(time.perf_counter() - began)
        os.close(descriptor)
    _say("durable append", statistics.median(times), statistics.median(bare), "write and fsync")


def _say(name: str, ours: float, peer: float, against: str) -> None:
    print(f"{name:<16} {ours / peer:5.2f} x  ({ours * 1e3:.2f} ms; {against}: {peer * 1e3:.2f} ms)")


async def main() -> None:
    """All of them."""
    await kernels()
    await appends()


if __name__ == "__main__":
    asyncio.run(main())
