"""Real kernels, without walls unless a test asks for them."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from runbookd.kernels.kernel import Kernel, KernelOptions, KernelOutput
from runbookd.kernels.sandbox import NoSandbox, Sandbox, Walls

StartKernel = Callable[..., Awaitable[Kernel]]


class Outputs:
    """Keeps what a cell puts out; to be handed in as ``on_output``."""

    def __init__(self) -> None:
        self.pieces: list[KernelOutput] = []

    async def __call__(self, output: KernelOutput) -> None:
        self.pieces.append(output)

    def text(self, channel: str = "stdout") -> str:
        return "".join(
            str(piece.mimes["text/plain"]) for piece in self.pieces if piece.channel == channel
        )


@pytest.fixture
def outputs() -> Outputs:
    return Outputs()


@pytest.fixture
async def start_kernel(tmp_path: Path) -> AsyncIterator[StartKernel]:
    """Starts kernels with a scratch folder each, and ends them."""
    started: list[Kernel] = []

    async def start(sandbox: Sandbox | None = None, **options: Any) -> Kernel:
        given = {
            "kernelspec": "python3",
            "lane": "read-only",
            "scratch": tmp_path / f"scratch{len(started)}",
            "walls": Walls(),
            "grace_s": 1.0,
        } | options
        kernel = await Kernel.start(KernelOptions(**given), sandbox or NoSandbox())
        started.append(kernel)
        return kernel

    yield start
    for kernel in started:
        await kernel.end()


KernelspecFolder = Callable[[str, list[str]], None]


@pytest.fixture
def kernelspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelspecFolder:
    """Installs kernelspecs where Jupyter finds them; the connection file comes last."""
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))

    def install(name: str, argv: list[str]) -> None:
        folder = tmp_path / "jupyter" / "kernels" / name
        folder.mkdir(parents=True)
        spec = {
            "argv": [*argv, "-f", "{connection_file}"],
            "display_name": name,
            "language": "python",
        }
        (folder / "kernel.json").write_text(json.dumps(spec))

    return install
