"""An answer must be heard although other requests were sent while it was on its way."""

from pathlib import Path

from runbookd.kernels.kernel import Kernel, KernelOptions
from runbookd.kernels.outputs import KernelOutput
from runbookd.kernels.sandbox import Walls, probe


async def test_every_answer_is_heard_with_other_requests_under_way(tmp_path: Path) -> None:
    sandbox, _ = probe()
    options = KernelOptions(
        kernelspec="python3", lane="read-only", scratch=tmp_path / "scratch", walls=Walls()
    )

    async def ignore(output: KernelOutput) -> None:
        del output

    kernel = await Kernel.start(options, sandbox)
    try:
        for turn in range(120):
            for _ in range(turn % 4):
                kernel._wire.ask_info()
            outcome = await kernel.execute("1/0" if turn % 2 else "print(1)", ignore, 10)
            assert outcome.status == ("error" if turn % 2 else "ok"), turn
    finally:
        await kernel.end()
