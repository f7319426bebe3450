"""Starting processes behind walls, and ending them with everything they started."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, Protocol

from runbookd.errors import KernelUnavailable
from runbookd.events import SandboxLevel
from runbookd.kernels.sandbox import cgroup, landlock, privileges, seccomp
from runbookd.kernels.sandbox.broker import Broker
from runbookd.kernels.sandbox.syscalls import Machine
from runbookd.kernels.sandbox.walls import Walls, find_program, grants

Stream = int | IO[bytes] | None
"""What :class:`subprocess.Popen` takes: DEVNULL, PIPE, STDOUT, a descriptor, a file.

A descriptor handed over keeps all the rights it was opened with, so hand over pipes.
"""

_QUIET = 10
"""How many times nothing must be found until nothing is there."""

_RESERVED_ADDRESSES = 4 << 30
"""Address space above the memory limit: allocators and runtimes reserve far more than they use
(an idle ipykernel 1 GiB), while shared mappings must have some end too."""

# Runs inside the walls, instead of a preexec_fn (which may deadlock in a program with threads):
# begins a session, which the broker takes note of, enters its control group, sets the limits and
# becomes the program.
_LAUNCHER = """\
import os, resource, sys
limits, doors, program, *argv = sys.argv[1:]
os.setsid()
os.umask(0o077)
for door in doors.split():
    os.write(int(door), b"0")
    os.close(int(door))
for limit in limits.split():
    name, _, value = limit.partition("=")
    number = getattr(resource, name)
    most = resource.getrlimit(number)[1]
    value = int(value) if most == resource.RLIM_INFINITY else min(int(value), most)
    resource.setrlimit(number, (value, value))
os.execv(program, argv)
"""


class Sandbox(Protocol):
    """Starts processes behind walls, as far as its level promises."""

    @property
    def level(self) -> SandboxLevel:
        """What is enforced."""
        ...

    @property
    def backend(self) -> str:
        """By which means."""
        ...

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        walls: Walls,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.DEVNULL,
        stderr: Stream = subprocess.DEVNULL,
        start_new_session: Literal[True] = True,
    ) -> "subprocess.Popen[bytes]":
        """Start ``argv`` in a session of its own; blocks for some milliseconds.

        Args:
            argv: the program, looked up on the PATH of ``env``, and its arguments.
            env: all of its environment; nothing is added.
            cwd: where it starts.
            walls: what it may touch, for good, and everything that it starts as well.
            stdin, stdout, stderr: no other descriptor is inherited.
            start_new_session: always; named so that it need not be taken out of a call that
                was meant for :class:`subprocess.Popen`.

        Raises:
            KernelUnavailable: no such program, or the walls cannot be put up. Nothing runs then.
        """
        ...


class LandlockSandbox:
    """Landlock for files, ports and signals; seccomp for the rest; a broker for connections."""

    level: SandboxLevel = "process"
    backend = "landlock+seccomp"

    def __init__(
        self,
        machine: Machine,
        python: Path | None = None,
        groups: cgroup.Roots | None = None,
    ) -> None:
        """A sandbox for ``machine``.

        Args:
            machine: whose system calls to filter.
            python: what its launcher runs on; default: this interpreter.
            groups: below which control groups to count and end processes; default: our own.
        """
        self._machine = machine
        self._python = python or Path(sys.executable)
        self._groups = groups or cgroup.find_roots()

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        walls: Walls,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.DEVNULL,
        stderr: Stream = subprocess.DEVNULL,
        start_new_session: Literal[True] = True,
    ) -> "subprocess.Popen[bytes]":
        """See :meth:`Sandbox.spawn`."""
        program = find_program(argv[0], env.get("PATH"))
        try:
            rules = grants(walls, (program, self._python))
        except (OSError, RuntimeError) as error:  # a loop of links, a folder we may not look into
            raise KernelUnavailable(f"the sandbox's rules cannot be made: {error}") from error
        steps = seccomp.program(self._machine, unix_sockets=bool(walls.unix_sockets))
        ruleset = landlock.build(rules, walls.bind, signals=walls.signals)
        group = cgroup.create(self._groups, walls.processes)
        doors = group.doors() if group is not None else ()
        launch = [str(self._python), "-I", "-S", "-c", _LAUNCHER]
        launch += [_limits(walls), " ".join(map(str, doors))]
        started: list[SandboxedProcess] = []
        listeners: list[int] = []
        failures: list[Exception] = []

        def start() -> None:
            """Give everything up, and start the child, which inherits that; then end."""
            try:
                privileges.drop()
                landlock.restrict(ruleset)
                listeners.append(seccomp.install(steps))
                started.append(
                    SandboxedProcess(
                        [*launch, str(program), *argv],
                        env=dict(env),
                        cwd=cwd,
                        stdin=stdin,
                        stdout=stdout,
                        stderr=stderr,
                        close_fds=True,
                        pass_fds=doors,
                    )
                )
            except (OSError, ValueError, subprocess.SubprocessError) as error:
                failures.append(error)

        # Landlock, seccomp and capabilities are a thread's own: the daemon's others stay free.
        thread = threading.Thread(target=start, name="sandbox-spawn")
        try:
            thread.start()
            thread.join()
        finally:
            for descriptor in (ruleset, *doors):
                os.close(descriptor)
        if not started:
            for listener in listeners:
                os.close(listener)
            if group is not None:
                group.remove()
            reason = failures[0] if failures else "unknown"
            raise KernelUnavailable(
                f"{argv[0]} cannot be started in the sandbox: {reason}", "run runbookd doctor"
            )
        [process] = started
        process.args = list(argv)
        process.group = group
        # Not before, and not from that thread: the broker must be free itself.
        process.broker = Broker(listeners[0], walls, self._machine)
        process.broker.start()
        return process


class NoSandbox:
    """Starts processes with all the rights of the daemon. It enforces nothing, and says so."""

    level: SandboxLevel = "none"
    backend = "none"

    def __init__(self, python: Path | None = None) -> None:
        """None at all; the launcher runs on ``python`` (default: this one)."""
        self._python = python or Path(sys.executable)

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        walls: Walls,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.DEVNULL,
        stderr: Stream = subprocess.DEVNULL,
        start_new_session: Literal[True] = True,
    ) -> "subprocess.Popen[bytes]":
        """See :meth:`Sandbox.spawn`; only the limits and the session of its own are kept."""
        program = find_program(argv[0], env.get("PATH"))
        launch = [str(self._python), "-I", "-S", "-c", _LAUNCHER, _limits(walls), ""]
        try:
            process = subprocess.Popen(
                [*launch, str(program), *argv],
                env=dict(env),
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
            )
        except OSError as error:
            raise KernelUnavailable(f"{argv[0]} cannot be started: {error}") from error
        process.args = list(argv)
        return process


class SandboxedProcess(subprocess.Popen[bytes]):
    """A process behind walls.

    Attributes:
        broker: answers its calls; ``broker.gone`` tells that nothing is left of its tree.
        group: the control group that it and everything it starts are in, where there are any.
    """

    broker: Broker
    group: cgroup.Cgroup | None


def kill_tree(process: "subprocess.Popen[bytes]", timeout_s: float = 5.0) -> bool:
    """End a spawned process and everything it started; blocks until that is done.

    In a sandbox that is everything. Its control group, where there is one, is killed whole. Else
    who leaves the session is known to the broker, and the kernel tells when the last one is gone;
    that can fail for processes that fork faster than we look. Without a sandbox, it is the
    process group and the descendants at this moment; a double-forked process in a session of its
    own gets away.

    Returns:
        Whether nothing is left (as far as can be known) within ``timeout_s``.
    """
    if not isinstance(process, SandboxedProcess):
        return _kill_family(process, timeout_s)
    deadline = time.monotonic() + timeout_s
    if process.group is not None:
        return _kill_group(process, process.group, deadline)
    quiet = 0
    while time.monotonic() < deadline:
        process.kill()  # does nothing once it is dead; before it has a session it is all there is
        members = _in_sessions(process.broker.sessions)
        for member in members:
            _kill(member)
        quiet = 0 if members else quiet + 1
        gone = process.broker.gone.wait(0.01)
        # Gone is whoever cannot run any more; what is on its way out still shows as a member. A
        # filter may outlive its processes as long as nobody collects their zombies.
        if quiet and (gone or quiet >= _QUIET) and process.poll() is not None:
            return True
    return False


def _kill_group(process: SandboxedProcess, group: cgroup.Cgroup, deadline: float) -> bool:
    while time.monotonic() < deadline:
        process.kill()  # it may not have entered yet
        group.kill()
        if group.empty and process.poll() is not None and group.remove():
            return True
        process.broker.gone.wait(0.01)
    return False


def _kill_family(process: "subprocess.Popen[bytes]", timeout_s: float) -> bool:
    import psutil  # slow, and for this case only

    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout_s)
    return process.returncode is not None and not psutil.wait_procs(family, timeout=timeout_s)[1]


def _in_sessions(sessions: Iterable[int]) -> list[int]:
    """The living processes in any of ``sessions`` that are in a sandbox.

    A session's number is free for others once its last process is gone, so we look twice.
    """
    wanted = frozenset(sessions)
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            line = Path(entry.path, "stat").read_bytes()
            # pid (comm) state ppid pgrp session ...; comm may contain anything, also ")"
            fields = line.rpartition(b")")[2].split()
            state, session, threads = fields[0], int(fields[3]), int(fields[17])
            if session not in wanted or (state == b"Z" and threads <= 1):
                continue  # with more threads it is only the first that has ended
            if b"\nSeccomp:\t2\n" in Path(entry.path, "status").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue  # gone meanwhile
    return found


def _kill(process: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGKILL)


def _limits(walls: Walls) -> str:
    """The limits as the launcher takes them."""
    values = {
        "RLIMIT_CORE": 0,
        "RLIMIT_NOFILE": walls.open_files,
        "RLIMIT_DATA": walls.memory,
        "RLIMIT_AS": None if walls.memory is None else walls.memory + _RESERVED_ADDRESSES,
        "RLIMIT_FSIZE": walls.file_size,
        "RLIMIT_NPROC": None if walls.processes is None else _tasks_now() + walls.processes,
    }
    if sys.platform != "linux":
        del values["RLIMIT_NPROC"]  # nobody counts
    return " ".join(f"{name}={value}" for name, value in values.items() if value is not None)


def _tasks_now() -> int:
    """How many threads this user has now, which is what Linux compares RLIMIT_NPROC with."""
    user = os.getuid()
    count = 0
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and entry.stat().st_uid == user:
                count += sum(1 for _ in os.scandir(f"/proc/{entry.name}/task"))
        except OSError:
            continue
    return count
