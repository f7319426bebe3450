"""The self-test: which sandbox is in force on this machine, found out by attacking it."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

from runbookd.errors import RunbookdError
from runbookd.events import SandboxReport
from runbookd.kernels.sandbox import attacker, landlock
from runbookd.kernels.sandbox.process import LandlockSandbox, NoSandbox, Sandbox, kill_tree
from runbookd.kernels.sandbox.syscalls import this_machine
from runbookd.kernels.sandbox.victim import Victim

_TIMEOUT_S = 20.0


def probe(python: Path | None = None) -> tuple[Sandbox, SandboxReport]:
    """The best sandbox that withstands every attack, and the proof; else none, and why.

    Blocks for about a quarter of a second: call it in a thread (``asyncio.to_thread``). It raises
    nothing: whatever goes wrong means that there is no sandbox.

    Args:
        python: the interpreter to launch and to attack with; default: this one.
    """
    machine = this_machine()
    if machine is None:
        return _none(f"no sandbox is known for {platform.system()} on {platform.machine()}")
    if landlock.abi() == 0:
        return _none("this kernel has no Landlock, or it is switched off (see the lsm= parameter)")
    sandbox = LandlockSandbox(machine, python)
    try:
        report = attack(sandbox, python)
    except (RunbookdError, OSError, ValueError, subprocess.SubprocessError) as error:
        return _none(f"the self-test could not be run: {error}")
    return (sandbox if report.level != "none" else NoSandbox()), report


def attack(sandbox: Sandbox, python: Path | None = None) -> SandboxReport:
    """Run every attack inside ``sandbox``, and look what came of it.

    Raises:
        RunbookdError: the attacker could not be started.
        OSError: the victim could not be set up.
    """
    source = Path(attacker.__file__).read_text(encoding="utf-8")
    with Victim() as victim:
        process = sandbox.spawn(
            [str(python or sys.executable), "-I", "-S", "-c", source, victim.targets()],
            env={"PATH": os.defpath},
            cwd=victim.scratch,
            walls=victim.walls,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            printed, complaint = process.communicate(timeout=_TIMEOUT_S)
        finally:
            kill_tree(process)
        try:
            said = json.loads(printed)
        except ValueError:
            said, complaint = {}, complaint or b"nothing was printed"
        rows, broken = victim.judge(said)
    allowed = [row.attack for row in rows if not row.denied]
    why = ""
    if not said:
        why = f"the attacker failed: {complaint.decode(errors='replace').strip()[-300:]}"
    elif allowed:
        why = f"not denied: {', '.join(allowed)}"
    elif broken:
        why = f"does not work inside: {', '.join(broken)}"
    return SandboxReport(
        level="none" if why else sandbox.level,
        backend=sandbox.backend,
        kernel=platform.release(),
        rows=rows,
        why=why,
    )


def _none(why: str) -> tuple[Sandbox, SandboxReport]:
    report = SandboxReport(level="none", backend="none", kernel=platform.release(), why=why)
    return NoSandbox(), report
