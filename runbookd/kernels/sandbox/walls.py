"""What a lane may touch, and the allow-list that follows from it."""

import ipaddress
import os
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from runbookd.errors import KernelUnavailable
from runbookd.kernels.sandbox import landlock
from runbookd.kernels.sandbox.landlock import Grant
from runbookd.model import Frozen

Port = Annotated[int, Field(ge=1, le=65535)]

SYSTEM = tuple(
    map(Path, "/usr /bin /sbin /lib /lib32 /lib64 /libx32 /etc /opt /var/log /proc /sys".split())  # noqa: SIM905
)
"""What every lane may read: programs, their libraries, configuration, logs; no home folders."""

_DEVICES = tuple(Path("/dev", name) for name in ("null", "zero", "full", "random", "urandom"))
_TERMINALS = Path("/dev/ptmx")
_KERNEL_INTERNALS = (Path("/sys/kernel/debug"), Path("/sys/kernel/tracing"))


class Walls(Frozen):
    """What the processes of a lane may touch; everything else is denied.

    A default set of system folders (:data:`SYSTEM`) and the interpreters' own folders are readable
    without being named.

    Attributes:
        scratch: the lane's own folder, writable. The only thing that may lie below a hidden path.
        readable: files and folders that may be read, with all that is below them.
        writable: files and folders that may be changed (gated lane).
        hidden: never readable, though below a readable folder. The folders above one are then
            granted entry by entry, as they are at the start: they cannot be listed, and what is
            put there later is hidden too.
        connect: TCP endpoints, numeric address and port, that may be reached.
        bind: TCP ports that may be listened on, on loopback addresses.
        unix_sockets: named Unix sockets that may be connected to; True for any that is not hidden.
        signals: whether processes outside may be signalled.
        memory: bytes of private memory, for each process. Shared mappings and memory files have
            a higher limit, or none.
        processes: how many processes and threads there may be: in its control group, where it has
            one; and beyond what the user has at the start, which Linux does not count for root.
        open_files: descriptors, for each process.
        file_size: bytes of the longest file that may be written.
    """

    scratch: Path | None = None
    readable: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    connect: tuple[tuple[str, Port], ...] = ()
    bind: tuple[Port, ...] = ()
    unix_sockets: bool | tuple[Path, ...] = False
    signals: bool = False
    memory: int | None = Field(default=None, gt=0)
    processes: int | None = Field(default=None, gt=0)
    open_files: int = Field(default=1024, gt=0)
    file_size: int | None = Field(default=None, gt=0)

    @field_validator("connect")
    @classmethod
    def _numeric(cls, endpoints: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
        return tuple((plain_address(address), port) for address, port in endpoints)


def plain_address(address: str) -> str:
    """A numeric IP address in its one spelling; IPv4 mapped into IPv6 counts as IPv4.

    Raises:
        ValueError: it is not a numeric address.
    """
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(parsed.ipv4_mapped or ipaddress.IPv6Address(int(parsed)))
    return str(parsed)


def grants(walls: Walls, programs: Iterable[Path]) -> tuple[Grant, ...]:
    """The Landlock rules that ``walls`` comes to.

    Args:
        walls: what is wanted.
        programs: the executables that will be started, whose installations must be readable.

    Raises:
        KernelUnavailable: a path to grant lies below a hidden one, or a path to make writable
            does not exist or contains a hidden one.
    """
    hidden = frozenset(path.resolve() for path in (*walls.hidden, *_private()))
    above = frozenset(parent for path in hidden for parent in path.parents)
    system = [
        path for path in (folder.resolve() for folder in SYSTEM) if not _covered(path, hidden)
    ]
    wanted = [path.resolve() for path in (*installations(programs), *walls.readable)]
    for path in wanted:
        if _covered(path, hidden):
            raise KernelUnavailable(
                f"{path} is to be readable, but lies in a hidden folder", "move one of the two"
            )
    write = landlock.WRITE | (landlock.MAKE_SOCK if walls.unix_sockets else 0)
    writable = [path.resolve() for path in walls.writable]
    for path in writable:
        if _covered(path, hidden):
            raise KernelUnavailable(
                f"{path} is to be writable, but lies in a hidden folder", "move one of the two"
            )
    if walls.scratch is not None:
        writable.append(walls.scratch.resolve())
    for path in writable:
        if not path.exists():
            raise KernelUnavailable(f"{path} is to be writable, but does not exist", "create it")
        if path in above:
            raise KernelUnavailable(
                f"{path} is to be writable, but contains a hidden path", "name a folder below it"
            )
    readable = dict.fromkeys(
        part for root in (*system, *wanted) for part in _without(root, hidden, above)
    )
    device = landlock.READ_FILE | landlock.WRITE_FILE
    return (
        *(Grant(path, landlock.READ) for path in readable),
        *(Grant(path, write) for path in writable),
        *(Grant(path.resolve(), device) for path in _DEVICES),
        Grant(_TERMINALS.resolve(), device | landlock.IOCTL_DEV),
    )


def installations(programs: Iterable[Path]) -> tuple[Path, ...]:
    """The folders that ``programs`` and this interpreter need to run.

    A program is followed from link to link. Where one lies in the ``bin`` of a Python
    installation or virtual environment, all of that is needed; otherwise the file itself.
    """
    needed = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.exec_prefix)]
    needed += [Path(entry) for entry in sys.path if entry.endswith(("-packages",))]
    for program in programs:
        for link in _chain(program.absolute()):
            prefix = link.parent.parent
            needed.append(prefix if _is_installation(prefix) else link)
    return tuple(dict.fromkeys(needed))


def find_program(name: str, search: str | None) -> Path:
    """The executable that ``name`` means on the given PATH.

    Raises:
        KernelUnavailable: there is none.
    """
    found = shutil.which(name, path=search)
    if found is None:
        raise KernelUnavailable(f"there is no program {name}", "install it or correct the PATH")
    return Path(found).absolute()


def _chain(path: Path) -> Iterator[Path]:
    """``path``, and what it points to, link by link."""
    for _ in range(40):
        yield path
        if not path.is_symlink():
            return
        path = Path(os.path.normpath(path.parent / path.readlink()))


def _is_installation(prefix: Path) -> bool:
    home = Path.home()
    if prefix in (home, *home.parents, home / ".local"):
        return False  # ~/bin/python must not open the home
    return (prefix / "pyvenv.cfg").is_file() or any(prefix.glob("lib/python3*/os.py"))


def _private() -> list[Path]:
    """What permissions keep from ordinary users, and would not keep from a daemon run by root."""
    if os.geteuid() != 0:
        return []
    return [*_KERNEL_INTERNALS, *_unreadable_to_others("/etc")]


def _unreadable_to_others(folder: str) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            continue
        if not entry.stat(follow_symlinks=False).st_mode & stat.S_IROTH:
            yield Path(entry.path)
        elif entry.is_dir(follow_symlinks=False):
            yield from _unreadable_to_others(entry.path)


def _covered(path: Path, hidden: Set[Path]) -> bool:
    return not hidden.isdisjoint((path, *path.parents))


def _without(root: Path, hidden: Set[Path], above: Set[Path]) -> Iterator[Path]:
    """The parts of ``root`` that have nothing hidden in them.

    Links are left out: where they lead must be granted itself.

    Args:
        root: a folder or file that does not lie in a hidden one.
        hidden: what to leave out.
        above: all folders above any hidden path.
    """
    if root in hidden:
        return
    if root not in above:
        yield root
        return
    try:
        # By name, and by what the folder itself says of links: asking each costs milliseconds.
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if not entry.is_symlink():
            yield from _without(root / entry.name, hidden, above)
