"""Control groups: count the processes of a sandbox, and end them all at one blow.

A session number, a process group or a parent can be left by forking fast enough; a control group
cannot: who is born in it stays in it, and ``cgroup.kill`` reaches those being born as well. See
https://docs.kernel.org/admin-guide/cgroup-v2.html (``cgroup.kill``: Linux 5.14) and, for machines
whose controllers are still mounted the old way, cgroup-v1/pids.

The groups lie below the daemon's own, so root, and a service with ``Delegate=yes``, have them;
elsewhere there are none (:func:`create` returns None) and the sandbox does without.
"""

import os
import secrets
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "runbookd"


@dataclass(frozen=True)
class Roots:
    """Where the daemon's own groups are; None where there is no such hierarchy.

    Attributes:
        unified: in the hierarchy of version 2, which can kill.
        pids: where a limit on processes can be set: in either version.
    """

    unified: Path | None
    pids: Path | None


class Cgroup:
    """The control group of one sandbox. Made by :func:`create`; to be removed when it is empty.

    Attributes:
        counts: whether the limit on processes is in force.
    """

    def __init__(self, folders: tuple[Path, ...], *, counts: bool) -> None:
        """Take over ``folders``, that of version 2 first."""
        self._folders = folders
        self.counts = counts

    def doors(self) -> tuple[int, ...]:
        """Descriptors through which a process enters by writing ``0``; for the caller to close.

        Landlock judges the opening of a file, not the writing, so a process enters after its
        walls are up and before it becomes the program.

        Raises:
            OSError: the groups are gone.
        """
        with ExitStack() as on_failure:
            found: list[int] = []
            for folder in self._folders:
                door = os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
                on_failure.callback(os.close, door)
                found.append(door)
            on_failure.pop_all()
        return tuple(found)

    def kill(self) -> None:
        """Kill every process in it, those being born as well."""
        with suppress(OSError):
            (self._folders[0] / "cgroup.kill").write_text("1")

    @property
    def empty(self) -> bool:
        """Whether no process is left that could run; a zombie cannot."""
        try:
            return "populated 0" in (self._folders[0] / "cgroup.events").read_text()
        except OSError:
            return True  # removed

    @property
    def hit_the_limit(self) -> int:
        """How often a fork was refused because of the limit; 0 where nothing counts."""
        with suppress(OSError, ValueError):
            for line in (self._folders[-1] / "pids.events").read_text().splitlines():
                if line.startswith("max "):
                    return int(line.split()[1])
        return 0

    def remove(self) -> bool:
        """Remove the groups; whether they are gone. One with processes in it stays."""
        for folder in self._folders:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True


def create(roots: Roots, processes: int | None) -> Cgroup | None:
    """A new group, with at most ``processes`` processes and threads in it; None where none can be.

    Where the limit cannot be set the group still can kill.
    """
    if roots.unified is None:
        return None
    name = f"{_mine()}-{secrets.token_hex(4)}"
    unified = roots.unified / name
    try:
        unified.mkdir()
        if not (unified / "cgroup.kill").exists():
            unified.rmdir()
            return None
    except OSError:
        return None
    folders, counts = [unified], False
    if roots.pids is not None and processes is not None:
        limited = roots.pids / name
        try:
            limited.mkdir(exist_ok=True)
            (limited / "pids.max").write_text(str(processes))
            counts = True
        except OSError:
            if limited != unified:
                with suppress(OSError):
                    limited.rmdir()
        else:
            if limited != unified:
                folders.append(limited)
    return Cgroup(tuple(folders), counts=counts)


def find_roots(
    mounts: Path = Path("/proc/self/mountinfo"), own: Path = Path("/proc/self/cgroup")
) -> Roots:
    """Where this process's own groups are. What cannot be read is as if it were not there."""
    try:
        lines, mine = mounts.read_text().splitlines(), own.read_text().splitlines()
    except OSError:
        return Roots(None, None)
    paths = {controllers: path for _, controllers, path in (line.split(":", 2) for line in mine)}
    unified = pids = None
    for line in lines:
        # id parent major:minor root point options [tags] - type source options (proc(5))
        front, _, back = line.partition(" - ")
        root, point = front.split()[3:5]
        kind, _, options = back.split()[:3]
        if kind == "cgroup2" and "" in paths:
            unified = _below(point, root, paths[""])
        elif kind == "cgroup" and "pids" in options.split(","):
            pids = next(
                (_below(point, root, path) for name, path in paths.items() if name == "pids"), None
            )
    if unified is not None and _offers_pids(unified):
        pids = unified
    return Roots(unified, pids)


def sweep(roots: Roots) -> int:
    """End what a daemon that was killed has left in its groups; returns how many groups that were.

    Groups carry their daemon's process number and start time, and the namespace these are of:
    those of a living daemon, or of another container, are let alone.
    """
    swept = 0
    here, gone = _namespace(), time.monotonic() + 1.0
    for root in dict.fromkeys(filter(None, (roots.unified, roots.pids))):
        for folder in root.glob(f"{_PREFIX}-{here}-*-*-*"):
            _, _, process, started, _ = folder.name.split("-", 4)
            if _start_time(process) == started:
                continue
            group = Cgroup((folder,), counts=False)
            group.kill()
            while not group.remove() and time.monotonic() < gone:
                os.sched_yield()
            swept += 1
    return swept


def _below(point: str, root: str, path: str) -> Path:
    """Where the group ``path`` is, when ``root`` of its hierarchy is mounted at ``point``."""
    inside = path if root == "/" else path.removeprefix(root)
    return Path(point.replace("\\040", " "), inside.lstrip("/"))


def _offers_pids(group: Path) -> bool:
    try:
        return "pids" in (group / "cgroup.subtree_control").read_text().split()
    except OSError:
        return False


def _mine() -> str:
    return f"{_PREFIX}-{_namespace()}-{os.getpid()}-{_start_time(str(os.getpid()))}"


def _namespace() -> str:
    """The number of the namespace that process numbers are of."""
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _start_time(process: str) -> str:
    """When a process started, in ticks since the machine did; nothing if there is none."""
    try:
        stat = Path("/proc", process, "stat").read_bytes()
    except OSError:
        return ""
    return stat.rpartition(b")")[2].split()[19].decode()
