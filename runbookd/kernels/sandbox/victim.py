"""What the attacker attacks, and the judgement of what it achieved.

A victim is a folder of files, a hidden file, a sleeping process and some sockets, all made for
the purpose. An attack counts as denied only if the attacker failed and nothing happened here.
"""

import fcntl
import hashlib
import json
import os
import resource
import secrets
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runbookd.events import ProbeRow
from runbookd.kernels.sandbox import attacker, privileges
from runbookd.kernels.sandbox.syscalls import syscall
from runbookd.kernels.sandbox.walls import Walls

# Success that the attacker only believes in: such calls return 0 and do nothing.
_ONLY_WE_KNOW = frozenset(
    """chmod fchmod fchmodat2 chown utime setxattr setxattrat removexattr file-attributes
    signal-by-descriptor affinity priority scheduler io-priority""".split()  # noqa: SIM905
)

_CONTROLS = {
    "control-scratch": "wri",
    "control-subprocess": "42",
    "control-endpoint": "connected",
    "control-endpoint-timeout": "connected",
    "control-listen": "done",
    "control-socketpair": "through",
    "control-read": "before",
}

_DROPPED_IN = (Path("/tmp"), Path("/dev/shm"))  # noqa: S108
_LONGEST_FOLDER = 70  # the name of a Unix socket has about 100 bytes
_IOPRIO_WHO_PROCESS = 1
_FS_IOC_GETFLAGS = 0x80086601


class Victim:
    """A context in which to attack; everything in it is gone at the end.

    Attributes:
        walls: what the attacker may touch.
        scratch: the attacker's own folder.
    """

    walls: Walls
    scratch: Path

    def __init__(self, folder: Path | None = None) -> None:
        """Put the files below ``folder``, by default the one for temporary files."""
        self._folder = folder
        self._stack = ExitStack()
        self._secret = secrets.token_hex(16)
        self._targets: dict[str, Any] = {"token": secrets.token_hex(16)}
        self._sockets: dict[str, socket.socket] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._prepare_files(stack)
            self._prepare_process(stack)
            self._prepare_sockets(stack)
            self.walls = Walls(
                scratch=self.scratch,
                readable=(self._open,),
                hidden=(self._private,),
                connect=(self._targets["declared"],),
                bind=(self._targets["bind"],),
                memory=1 << 30,
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def targets(self) -> str:
        """What the attacker is told, as JSON."""
        return json.dumps(self._targets)

    def judge(self, said: Mapping[str, str]) -> tuple[tuple[ProbeRow, ...], tuple[str, ...]]:
        """What came of it: a row for each attack, and the names of the controls that failed.

        To be asked once, when the attacker is done.

        Args:
            said: what the attacker printed. An attack that it does not mention was not denied.
        """
        happened = self._what_happened()
        rows = []
        for name, _ in attacker.attacks(self._targets):
            word = said.get(name, "never tried")
            failed = word.startswith("denied") or (name in _ONLY_WE_KNOW and name in said)
            leaked = self._secret in word
            rows.append(
                ProbeRow(attack=name, denied=failed and not leaked and name not in happened)
            )
        broken = [name for name, right in _CONTROLS.items() if said.get(name) != right]
        if "declared" not in happened:
            broken.append("control-endpoint-reached")
        return tuple(rows), tuple(broken)

    def _what_happened(self) -> set[str]:
        """The names of the attacks that left a trace, and of the sockets that were reached."""
        found = {
            name
            for name, before in self._before.items()
            if _snapshot(self._outside / name) != before
        }
        found |= {name for name, sock in self._sockets.items() if _was_called(sock)}
        found |= {message for sock in self._datagrams for message in _messages(sock)}
        for folder, name in zip(_DROPPED_IN, ("write-tmp", "write-shm"), strict=True):
            if (folder / self._targets["token"]).exists():
                found.add(name)
        if self._process.poll() is not None:
            found |= {name for name, _ in attacker.attacks(self._targets) if "signal" in name}
        else:
            after = self._properties()
            found |= {
                name for name, before in self._properties_before.items() if after[name] != before
            }
        return found

    def _prepare_files(self, stack: ExitStack) -> None:
        folder = self._folder or Path(tempfile.gettempdir())
        if len(str(folder)) > _LONGEST_FOLDER:
            folder = _DROPPED_IN[0]
        root = Path(tempfile.mkdtemp(prefix="runbookd-test-", dir=folder)).resolve()
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        self._open, self.scratch = root / "open", root / "scratch"
        self._outside, self._private = self._open / "outside", self._open / "private"
        undeclared = root / "undeclared"
        for folder in (self._outside, self._private, undeclared, self.scratch):
            folder.mkdir(parents=True)
        (self._open / "known").write_text("before")
        for folder in (self._private, undeclared):
            (folder / "secret").write_text(self._secret)
        shutil.copy(shutil.which("true") or sys.executable, self._private / "program")
        for dropped in _DROPPED_IN:
            stack.callback((dropped / self._targets["token"]).unlink, missing_ok=True)
        self._targets |= {
            "outside": str(self._outside),
            "scratch": str(self.scratch),
            "hidden": str(self._private / "secret"),
            "undeclared-file": str(undeclared / "secret"),
            "readable": str(self._open / "known"),
        }
        self._before = {}
        for name in attacker.FILE_ATTACKS:
            here = self._outside / name
            (here / "folder").mkdir(parents=True)
            (here / "file").write_text("before")
            with suppress(OSError):  # some file systems have no attributes
                os.setxattr(here / "file", "user.before", b"1")
            self._before[name] = _snapshot(here)

    def _prepare_process(self, stack: ExitStack) -> None:
        sleep = shutil.which("sleep")
        argv = [sleep, "120"] if sleep else [sys.executable, "-c", "import time; time.sleep(120)"]
        started: list[subprocess.Popen[bytes]] = []

        def start() -> None:
            """Without privileges, which would protect it from an attacker who has none."""
            privileges.drop()
            null = subprocess.DEVNULL
            env = {"SECRET": self._secret}
            started.append(subprocess.Popen(argv, env=env, stdin=null, stdout=null))

        thread = threading.Thread(target=start)
        thread.start()
        thread.join()
        if not started:
            raise OSError(f"{argv[0]} could not be started")
        [self._process] = started
        stack.callback(self._process.wait)
        stack.callback(self._process.kill)
        self._targets["victim"] = self._process.pid
        self._properties_before = self._properties()

    def _properties(self) -> dict[str, object]:
        """What an attack could change about the process, by the attack's name."""
        process = self._process.pid
        return {
            "limit": resource.prlimit(process, resource.RLIMIT_NOFILE),
            "affinity": os.sched_getaffinity(process),
            "scheduler": os.sched_getscheduler(process),
            "priority": os.getpriority(os.PRIO_PROCESS, process),
            "io-priority": syscall("ioprio_get", _IOPRIO_WHO_PROCESS, process),
        }

    def _prepare_sockets(self, stack: ExitStack) -> None:
        declared = self._listen(stack, "declared", ("127.0.0.1", 0))
        self._listen(stack, "tcp-other-address", ("127.0.0.2", declared[1]))
        with suppress(OSError):  # machines without IPv6
            self._listen(stack, "tcp6", ("::1", declared[1]), socket.AF_INET6)
        names = ("tcp", "tcp-nonblocking", "tcp-fast-open", "tcp-fast-open-message", "mptcp")
        listeners = {name: self._listen(stack, name, ("127.0.0.1", 0)) for name in names}
        udp = self._bind(stack, ("127.0.0.1", 0), socket.AF_INET, socket.SOCK_DGRAM)
        stream, datagram = str(self._open / "s"), str(self._open / "d")
        self._listen(stack, "unix", stream, socket.AF_UNIX)
        self._listen(stack, "unix-abstract", "\0" + self._targets["token"], socket.AF_UNIX)
        unix = self._bind(stack, datagram, socket.AF_UNIX, socket.SOCK_DGRAM)
        self._datagrams = (udp, unix)
        self._targets |= {
            "declared": declared,
            "listeners": listeners,
            "udp": udp.getsockname(),
            "unix": stream,
            "unix-datagram": datagram,
            "abstract": self._targets["token"],
            "bind": free_port(),
            "bind-other": free_port(),
        }

    def _listen(
        self,
        stack: ExitStack,
        name: str,
        address: tuple[str, int] | str,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> Any:
        self._sockets[name] = sock = self._bind(stack, address, family, socket.SOCK_STREAM)
        sock.listen()
        return sock.getsockname()

    def _bind(
        self,
        stack: ExitStack,
        address: tuple[str, int] | str,
        family: socket.AddressFamily,
        kind: socket.SocketKind,
    ) -> socket.socket:
        sock = stack.enter_context(socket.socket(family, kind))
        sock.bind(address)
        sock.setblocking(False)
        return sock


def free_port() -> int:
    """A loopback TCP port that nobody listens on, and that no connection will get by chance.

    It is below those that Linux gives to connections (ip_local_port_range).
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


def _was_called(sock: socket.socket) -> bool:
    try:
        sock.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _messages(sock: socket.socket) -> Iterator[str]:
    """What arrived: each attack sends its own name."""
    with suppress(BlockingIOError):
        while True:
            yield sock.recv(64).decode()


def _snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """Everything about ``folder`` and what is in it that an attack could change.

    The time of the last change of status (ctime) gives away what the rest does not show.
    """
    found: dict[str, tuple[object, ...]] = {}
    for path in (folder, *sorted(folder.rglob("*"))):
        status = path.lstat()
        about: tuple[object, ...] = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            status.st_ino,
            status.st_nlink,
            status.st_size,
            status.st_mtime_ns,
            status.st_ctime_ns,
        )
        if stat.S_ISREG(status.st_mode):
            about += (hashlib.sha256(path.read_bytes()).digest(), _flags(path))
        found[str(path)] = about
    return found


def _flags(path: Path) -> bytes | None:
    with path.open("rb") as file:
        try:
            return fcntl.ioctl(file, _FS_IOC_GETFLAGS, struct.pack("q", 0))
        except OSError:
            return None
