"""Starting a kernel's process: the command line, environment and walls that its options give."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from runbookd.errors import KernelUnavailable
from runbookd.events import Lane
from runbookd.kernels.environment import kernel_environment, open_log
from runbookd.kernels.sandbox import Sandbox, Walls
from runbookd.kernels.specs import Kernelspec
from runbookd.kernels.wire import Wire


@dataclass(frozen=True)
class KernelOptions:
    """What kernel to start, and how far its walls stand open.

    Args:
        kernelspec: ``python3``, or a name that Jupyter knows.
        lane: which lane the kernel serves.
        scratch: the only folder it may write to; made if need be. Belongs to one kernel at a time.
        walls: what the lane allows; scratch and the kernel's own ports are added to it here.
        env: variables to add to the allow-list, for example the addresses of connectors.
        output_limit: bytes of output that one execution keeps.
        start_timeout_s: seconds until a kernel that does not answer is given up.
        grace_s: seconds from an interrupt to the kill.
    """

    kernelspec: str
    lane: Lane
    scratch: Path
    walls: Walls
    env: Mapping[str, str] = field(default_factory=dict)
    output_limit: int = 64 * 1024 * 1024
    start_timeout_s: float = 30.0
    grace_s: float = 5.0


def launch(
    options: KernelOptions, spec: Kernelspec, sandbox: Sandbox, wire: Wire, kernel: str
) -> "subprocess.Popen[bytes]":
    """Start the process of a kernel in the sandbox; ``kernel`` is the id that names its log.

    Raises:
        KernelUnavailable: the program is not there, or the sandbox refuses.
    """
    values = {"connection_file": str(wire.connection_file), "resource_dir": spec.resource_dir}
    argv = [_filled(part, values) for part in spec.argv]
    env = kernel_environment(os.environ, options.scratch, spec.env, options.env)
    env["JPY_PARENT_PID"] = str(os.getpid())
    walls = options.walls.model_copy(
        update={"scratch": options.scratch, "bind": (*options.walls.bind, *wire.ports)}
    )
    log_file = open_log(options.scratch, kernel)
    try:
        return sandbox.spawn(
            argv,
            env=env,
            cwd=options.scratch,
            walls=walls,
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
        )
    except OSError as error:
        raise KernelUnavailable(
            f"the kernel {spec.name!r} cannot be started ({error.strerror})",
            f"see that {spec.argv[0]} is there and can be run",
        ) from None
    finally:
        os.close(log_file)


def _filled(part: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        part = part.replace("{" + name + "}", value)
    return part


def how_it_ended(code: int | None) -> str:
    """The exit code of a process in words; None: it is still there."""
    if code is None:
        return "it could not be ended"
    # A wrapper reports a signal of the process inside as 128 + number.
    number = -code if code < 0 else code - 128
    with contextlib.suppress(ValueError):
        return f"it was ended by {signal.Signals(number).name}"
    return f"it ended by itself with exit code {code}"
