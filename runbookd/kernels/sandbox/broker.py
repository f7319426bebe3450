"""The daemon's side of a sandbox: it makes the few calls that a filter alone cannot judge.

The kernel stops a sandboxed thread at such a call and asks here (seccomp user notification,
seccomp_unotify(2)). What a process could still change behind our back is never handed back to it:
an address is copied, judged, and the call is made by us, with our copy, on a duplicate of the
process's own descriptor.

connect
    is made for declared TCP endpoints, by address and port (Landlock knows ports only), and for
    declared named Unix sockets. A blocking socket is connected without blocking us.
listen
    is made for sockets bound to a declared port on a loopback address. Without it, listening on
    a socket that was never bound would open a port of the kernel's choice to the world.
setsid
    goes on, and the new session is noted, so that a process that leaves its session can be found
    and ended.
ioctl TIOCGPTPEER
    opens the other end of a terminal that the process has made, and hands it over. So programs
    that want a terminal get one without a right on /dev/pts, where everybody's terminals are.

To copy an address and duplicate a descriptor we need the kernel's leave to trace the process:
it is a descendant of the same user, so Yama's mode 1 allows it; modes 2 and 3 do not. A
double-forked process is no descendant any more: under Yama it cannot connect. When the daemon
dies, the kernel fails all these calls (ENOSYS).
"""

import errno
import fcntl
import ipaddress
import os
import select
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from runbookd.kernels.sandbox.addresses import LONGEST, Named, Tcp, parse
from runbookd.kernels.sandbox.seccomp import TIOCGPTPEER
from runbookd.kernels.sandbox.syscalls import Machine, syscall
from runbookd.kernels.sandbox.walls import Walls, plain_address

CONNECT_TIMEOUT_S = 30.0
"""How long a connection of a blocking socket may take; then it fails with ETIMEDOUT."""

# _IOWR('!', 0, struct seccomp_notif), _IOWR('!', 1, struct seccomp_notif_resp),
# _IOW('!', 2, __u64), _IOW('!', 3, struct seccomp_notif_addfd); see linux/seccomp.h
_RECEIVE, _SEND, _ID_VALID, _ADD_FD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
_ADDITION = struct.Struct("=QIIII")
_GO_ON = 1
_ADD_AND_ANSWER = 2

_TERMINALS = os.makedev(5, 2)
_UNDECIDED = (errno.EINPROGRESS, errno.EALREADY)


@dataclass(frozen=True)
class _Call:
    """A thread that waits for our answer, and what it asked for."""

    id: int
    thread: int
    number: int
    arguments: tuple[int, ...]


@dataclass(frozen=True)
class _Dialling:
    """A connection being made; ours is a duplicate of the process's socket."""

    call: _Call
    socket: socket.socket
    to: Tcp
    deadline: float


class Broker(threading.Thread):
    """Answers the calls of one sandbox until its last process is gone.

    Attributes:
        gone: set when no process of the sandbox is left.
    """

    def __init__(self, listener: int, walls: Walls, machine: Machine) -> None:
        """Take over ``listener``, the descriptor that the filter's installation gave."""
        super().__init__(name="sandbox-broker", daemon=True)
        self.gone = threading.Event()
        self._listener = listener
        self._walls = walls
        self._hidden = tuple(path.resolve() for path in walls.hidden)
        self._poll = select.poll()
        self._dialling: dict[int, _Dialling] = {}
        self._sessions: set[int] = set()
        self._lock = threading.Lock()
        self._handlers: dict[int | None, Callable[[_Call], None]] = {
            machine.number("connect"): self._connect,
            machine.number("listen"): self._listen,
            machine.number("setsid"): self._setsid,
            machine.number("ioctl"): self._terminal,
        }

    @property
    def sessions(self) -> frozenset[int]:
        """The sessions that processes of this sandbox have made; none of them is in another."""
        with self._lock:
            return frozenset(self._sessions)

    def run(self) -> None:
        """Serve until the kernel says that nobody uses the filter any more."""
        self._poll.register(self._listener, select.POLLIN)
        try:
            while self._turn():
                pass
        finally:
            for dialling in self._dialling.values():
                dialling.socket.close()
            os.close(self._listener)
            self.gone.set()

    def _turn(self) -> bool:
        for descriptor, event in self._poll.poll(1000 if self._dialling else None):
            if descriptor != self._listener:
                self._poll.unregister(descriptor)
                self._dial(self._dialling.pop(descriptor), again=True)
            elif event & select.POLLIN:
                self._serve()
            else:
                return False
        self._give_up()
        return True

    def _serve(self) -> None:
        received = bytearray(_NOTIFICATION.size)
        try:
            fcntl.ioctl(self._listener, _RECEIVE, received)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return  # the thread was killed or interrupted meanwhile
            raise
        identity, thread, _, number, _, _, *arguments = _NOTIFICATION.unpack(received)
        call = _Call(identity, thread, number, tuple(arguments))
        try:
            self._handlers[number](call)
        except OSError as error:
            self._answer(call, error=error.errno or errno.EPERM)

    # The four calls. Each answers, or raises OSError with what the process shall see. Our
    # duplicates are closed before: else a port could still be taken that the process has closed.

    def _connect(self, call: _Call) -> None:
        sock = self._socket(call)
        try:
            wanted = parse(self._copied(call, call.arguments[1], call.arguments[2]))
            match wanted:
                case Tcp() if wanted.endpoint in self._walls.connect:
                    if sock.family != wanted.family:
                        raise _refusal(errno.EAFNOSUPPORT)
                    deadline = time.monotonic() + CONNECT_TIMEOUT_S
                    self._dial(_Dialling(call, sock, wanted, deadline))
                case Named() if self._walls.unix_sockets:
                    if sock.family != socket.AF_UNIX:
                        raise _refusal(errno.EAFNOSUPPORT)
                    with self._pinned(call, wanted) as path:
                        code = _attempt(sock, path)
                    sock.close()
                    self._answer(call, error=code)
                case _:
                    raise _refusal(errno.EACCES)
        except BaseException:
            sock.close()
            raise

    def _listen(self, call: _Call) -> None:
        with self._socket(call) as sock:
            name = sock.getsockname()
            if sock.family == socket.AF_UNIX:
                allowed = bool(self._walls.unix_sockets) and bool(name) and isinstance(name, str)
            else:
                address, port = name[:2]
                loopback = ipaddress.ip_address(plain_address(address)).is_loopback
                allowed = loopback and port in self._walls.bind
            if not allowed:
                raise _refusal(errno.EACCES)
            sock.listen(min(call.arguments[1] & 0xFFFFFFFF, socket.SOMAXCONN))
        self._answer(call)

    def _setsid(self, call: _Call) -> None:
        process = self._process(call)
        self._still_waiting(call)
        with self._lock:
            self._sessions.add(process)
        self._answer(call, flags=_GO_ON)  # it has no arguments that could change meanwhile

    def _terminal(self, call: _Call) -> None:
        master = self._duplicate(call)
        try:
            status = os.fstat(master)
            if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _TERMINALS:
                raise _refusal(errno.ENOTTY)
            # O_NOCTTY: it must not become the daemon's own terminal.
            flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
            other_end = fcntl.ioctl(master, TIOCGPTPEER, flags)
        finally:
            os.close(master)
        try:
            wanted = call.arguments[2] & os.O_CLOEXEC
            addition = _ADDITION.pack(call.id, _ADD_AND_ANSWER, other_end, 0, wanted)
            fcntl.ioctl(self._listener, _ADD_FD, addition)
        finally:
            os.close(other_end)

    # Making a connection: at once, or in several turns where the process would block.

    def _dial(self, dialling: _Dialling, *, again: bool = False) -> None:
        call, sock = dialling.call, dialling.socket
        if again and not self._waits(call):
            sock.close()  # interrupted: it will ask again, and finds what became of it
            return
        blocking = os.get_blocking(sock.fileno())
        code = _attempt(sock, dialling.to.native)
        if blocking and code in _UNDECIDED:
            self._dialling[sock.fileno()] = dialling
            self._poll.register(sock.fileno(), select.POLLOUT)
            return
        sock.close()
        self._answer(call, error=0 if again and code == errno.EISCONN else code)

    def _give_up(self) -> None:
        for descriptor, dialling in tuple(self._dialling.items()):
            waits = self._waits(dialling.call)
            if waits and time.monotonic() < dialling.deadline:
                continue
            del self._dialling[descriptor]
            self._poll.unregister(descriptor)
            dialling.socket.close()
            if waits:
                self._answer(dialling.call, error=errno.ETIMEDOUT)

    # What we take from the process. After each, it must still wait for us: else its number may
    # be another process's by now.

    def _process(self, call: _Call) -> int:
        """The process that the calling thread belongs to."""
        status = Path(f"/proc/{call.thread}/status").read_bytes()
        return int(status.split(b"\nTgid:", 1)[1].split(None, 1)[0])

    def _duplicate(self, call: _Call) -> int:
        """Our own descriptor for what the call's first argument is a descriptor of."""
        process = os.pidfd_open(self._process(call))
        try:
            self._still_waiting(call)
            return syscall("pidfd_getfd", process, call.arguments[0] & 0xFFFFFFFF, 0)
        finally:
            os.close(process)

    def _socket(self, call: _Call) -> socket.socket:
        descriptor = self._duplicate(call)
        try:
            return socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            raise

    def _copied(self, call: _Call, address: int, length: int) -> bytes:
        """Memory of the process, as it is now; what becomes of it later does not matter."""
        length &= 0xFFFFFFFF
        if length > LONGEST:
            raise _refusal(errno.EINVAL)
        if address >= 1 << 63:
            raise _refusal(errno.EFAULT)
        memory = os.open(f"/proc/{call.thread}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._still_waiting(call)
            content = os.pread(memory, length, address)
        except OSError as error:
            raise _refusal(errno.EFAULT if error.errno == errno.EIO else error.errno) from error
        finally:
            os.close(memory)
        if len(content) != length:
            raise _refusal(errno.EFAULT)
        return content

    @contextmanager
    def _pinned(self, call: _Call, wanted: Named) -> Iterator[str]:
        """A path to the very socket that was judged, whatever its name comes to mean."""
        folder = Path(f"/proc/{call.thread}/cwd").readlink()
        self._still_waiting(call)
        real = Path(folder, os.fsdecode(wanted.path)).resolve()
        allowed = self._walls.unix_sockets
        if isinstance(allowed, tuple) and real not in [path.resolve() for path in allowed]:
            raise _refusal(errno.EACCES)
        if any(hidden == real or hidden in real.parents for hidden in self._hidden):
            raise _refusal(errno.EACCES)
        pin = os.open(real, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            if Path(f"/proc/self/fd/{pin}").readlink() != real:
                raise _refusal(errno.EACCES)
            yield f"/proc/self/fd/{pin}"
        finally:
            os.close(pin)

    def _waits(self, call: _Call) -> bool:
        try:
            fcntl.ioctl(self._listener, _ID_VALID, struct.pack("=Q", call.id))
        except OSError:
            return False
        return True

    def _still_waiting(self, call: _Call) -> None:
        if not self._waits(call):
            raise _refusal(errno.ESRCH)

    def _answer(self, call: _Call, *, error: int = 0, flags: int = 0) -> None:
        with suppress(FileNotFoundError):  # it does not wait any more
            fcntl.ioctl(self._listener, _SEND, _ANSWER.pack(call.id, 0, -error, flags))


def _refusal(code: int | None) -> OSError:
    return OSError(code or errno.EPERM, os.strerror(code or errno.EPERM))


def _attempt(sock: socket.socket, to: str | tuple[str, int] | tuple[str, int, int, int]) -> int:
    """connect(2) on the shared socket without waiting: 0 or an errno."""
    descriptor = sock.fileno()
    blocking = os.get_blocking(descriptor)
    if blocking:
        os.set_blocking(descriptor, False)
    try:
        return sock.connect_ex(to)
    finally:
        if blocking:
            os.set_blocking(descriptor, True)
