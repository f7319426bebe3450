import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbookd.kernels.sandbox import broker
from runbookd.kernels.sandbox.victim import free_port

from .conftest import Run, Start

# What the programs below have in common: raw calls, and answers as names of errors.
TOOLS = """
import ctypes, errno, os, socket, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)

def answer(result):
    return "ok" if result == 0 else errno.errorcode[ctypes.get_errno()]

def tried(function, *arguments):
    try:
        return function(*arguments) or "ok"
    except OSError as error:
        return errno.errorcode[error.errno]

def to(port, address="127.0.0.1", family=socket.AF_INET, timeout=None):
    with socket.socket(family) as sock:
        sock.settimeout(timeout)
        sock.connect((address, port))
        return sock.recv(5).decode()
"""


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def port(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def greet(server: socket.socket) -> None:
    server.settimeout(10)
    connection, _ = server.accept()
    with connection:
        connection.sendall(b"hello")


def declared(port: int) -> dict[str, object]:
    return {"connect": (("127.0.0.1", port),)}


@pytest.mark.parametrize("timeout", [None, 10])
def test_a_declared_endpoint_is_reached(
    start: Start, server: socket.socket, port: int, timeout: int | None
) -> None:
    code = TOOLS + f"print(to(int(sys.argv[1]), timeout={timeout}))"
    process = start(code, port, **declared(port))
    greet(server)
    assert process.communicate(timeout=10)[0] == b"hello\n"


def test_a_declared_endpoint_is_reached_from_an_ipv6_socket(
    start: Start, server: socket.socket, port: int
) -> None:
    code = TOOLS + "print(to(int(sys.argv[1]), '::ffff:127.0.0.1', socket.AF_INET6))"
    process = start(code, port, **declared(port))
    greet(server)
    assert process.communicate(timeout=10)[0] == b"hello\n"


def test_an_ipv6_endpoint_is_reached(start: Start) -> None:
    try:
        server = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with server:
        port = server.getsockname()[1]
        code = TOOLS + "print(to(int(sys.argv[1]), '::1', socket.AF_INET6))"
        process = start(code, port, connect=(("::1", port),))
        greet(server)
        assert process.communicate(timeout=10)[0] == b"hello\n"


def test_a_refused_connection_is_the_endpoints_answer(run: Run) -> None:
    port = free_port()
    assert run(TOOLS + "print(tried(to, int(sys.argv[1])))", port, **declared(port)) == (
        "ECONNREFUSED"
    )


def test_another_family_than_the_sockets_is_refused(run: Run, port: int) -> None:
    code = (
        TOOLS
        + """
sock = socket.socket(socket.AF_INET6)
raw = struct.pack("=H", 2) + struct.pack("!H", int(sys.argv[1])) + bytes([127, 0, 0, 1]) + bytes(8)
print(answer(libc.connect(sock.fileno(), raw, 16)))
"""
    )
    assert run(code, port, **declared(port)) == "EAFNOSUPPORT"


def test_nonsense_is_refused_and_does_no_harm(
    start: Start, server: socket.socket, port: int
) -> None:
    code = (
        TOOLS
        + """
sock = socket.socket()
good = struct.pack("=H", 2) + struct.pack("!H", int(sys.argv[1])) + bytes([127, 0, 0, 1]) + bytes(8)
null, far = ctypes.c_void_p(0), ctypes.c_void_p(2**64 - 8)
print(answer(libc.connect(-1, good, 16)))
print(answer(libc.connect(999, good, 16)))
print(answer(libc.connect(0, good, 16)))
print(answer(libc.connect(sock.fileno(), null, 16)))
print(answer(libc.connect(sock.fileno(), far, 16)))
print(answer(libc.connect(sock.fileno(), good, 129)))
print(answer(libc.connect(sock.fileno(), good, -1)))
print(answer(libc.connect(sock.fileno(), good, 0)))
print(answer(libc.connect(sock.fileno(), good, 8)))
print(answer(libc.connect(sock.fileno(), bytes(16), 16)))
print(answer(libc.listen(-1, 1)))
print(answer(libc.listen(0, 1)))
print(answer(libc.ioctl(0, 0x5441, 2)))
print(to(int(sys.argv[1])))
"""
    )
    process = start(code, port, **declared(port))
    greet(server)
    assert process.communicate(timeout=10)[0].decode().split() == [
        "EBADF",
        "EBADF",
        "ENOTSOCK",
        "EFAULT",
        "EFAULT",
        "EINVAL",
        "EINVAL",
        "EACCES",
        "EACCES",
        "EACCES",
        "EBADF",
        "ENOTSOCK",
        "ENOTTY",
        "hello",
    ]


def test_an_address_that_changes_after_the_look_reaches_nobody_else(
    start: Start, server: socket.socket, port: int
) -> None:
    code = (
        TOOLS
        + """
good, bad = (struct.pack("!H", int(port)) for port in sys.argv[1:])
raw = ctypes.create_string_buffer(struct.pack("=H", 2) + good + bytes([127, 0, 0, 1]) + bytes(8))
sys.setswitchinterval(1e-6)
done = False
def flip():
    while not done:
        raw[2:4] = bad
        raw[2:4] = good
threading.Thread(target=flip).start()
results = set()
for _ in range(400):
    with socket.socket() as sock:
        sock.setblocking(False)
        results.add(answer(libc.connect(sock.fileno(), raw, 16)))
done = True
print(*sorted(results))
"""
    )
    with socket.create_server(("127.0.0.1", 0)) as undeclared:
        undeclared.setblocking(False)
        server.listen(1000)
        process = start(code, port, undeclared.getsockname()[1], **declared(port))
        assert process.communicate(timeout=60)[0].split() == [b"EACCES", b"EINPROGRESS"]
        with pytest.raises(BlockingIOError):
            undeclared.accept()


@pytest.fixture
def full() -> Iterator[socket.socket]:
    """A server that lets nobody in until somebody is accepted."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        waiting = [socket.create_connection(listening.getsockname())]
        for _ in range(3):
            another = socket.socket()
            another.setblocking(False)
            another.connect_ex(listening.getsockname())
            waiting.append(another)
        yield listening
        for connection in waiting:
            connection.close()


def test_a_connection_that_takes_long_does_not_hold_up_others(
    start: Start, full: socket.socket, server: socket.socket, port: int
) -> None:
    code = (
        TOOLS
        + """
slow = threading.Thread(target=to, args=(int(sys.argv[1]),), daemon=True)
slow.start()
print(to(int(sys.argv[2])), flush=True)
os._exit(0 if slow.is_alive() else 1)
"""
    )
    slow_port = full.getsockname()[1]
    process = start(code, slow_port, port, connect=(("127.0.0.1", slow_port), ("127.0.0.1", port)))
    greet(server)
    assert process.communicate(timeout=10)[0] == b"hello\n"
    assert process.returncode == 0


def test_a_connection_that_takes_too_long_is_given_up(
    run: Run, full: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "CONNECT_TIMEOUT_S", 0.1)
    port = full.getsockname()[1]
    assert run(TOOLS + "print(tried(to, int(sys.argv[1])))", port, **declared(port)) == "ETIMEDOUT"


def test_a_blocking_connection_comes_about_when_the_server_lets_it_in(
    start: Start, full: socket.socket
) -> None:
    port = full.getsockname()[1]
    process = start(TOOLS + "print(to(int(sys.argv[1])))", port, **declared(port))
    while not process.broker._dialling:
        assert not process.broker.gone.wait(0.01)
    full.listen(20)
    full.settimeout(0.1)
    while process.poll() is None:
        with contextlib.suppress(TimeoutError):
            connection, _ = full.accept()
            with connection:
                connection.sendall(b"hello")
    assert process.communicate(timeout=20)[0] == b"hello\n"


def test_ctrl_c_interrupts_a_connection_that_hangs(start: Start, full: socket.socket) -> None:
    code = (
        TOOLS
        + """
import signal
signal.signal(signal.SIGALRM, signal.default_int_handler)
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    to(int(sys.argv[1]))
except KeyboardInterrupt:
    print("interrupted")
"""
    )
    process = start(code, full.getsockname()[1], **declared(full.getsockname()[1]))
    assert process.communicate(timeout=10)[0] == b"interrupted\n"


def test_refused_calls_cost_the_daemon_no_descriptors(run: Run, port: int) -> None:
    run("pass")
    before = len(os.listdir("/proc/self/fd"))
    code = (
        TOOLS
        + """
for _ in range(50):
    tried(to, int(sys.argv[1]))
    with socket.socket() as sock:
        tried(sock.listen)
    a, b = os.openpty()
    os.close(a)
    os.close(b)
"""
    )
    run(code, port)
    # The pipes of the two programs are open until the test's end.
    assert len(os.listdir("/proc/self/fd")) <= before + 6


def test_without_the_daemon_nothing_can_be_reached(
    tmp_path: Path, scratch: Path, server: socket.socket, port: int
) -> None:
    inside = (
        TOOLS
        + """
sys.stdin.read()  # until the daemon is gone
with open("result", "w") as file:
    file.write(tried(to, int(sys.argv[1])))
os.rename("result", "done")
os.close(1)
"""
    )
    daemon = """
import os, subprocess, sys
from pathlib import Path
from runbookd.kernels.sandbox import LandlockSandbox, Walls
from runbookd.kernels.sandbox.syscalls import this_machine
scratch, port, code = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
walls = Walls(scratch=scratch, connect=(("127.0.0.1", port),))
LandlockSandbox(this_machine()).spawn(
    [sys.executable, "-I", "-S", "-c", code, str(port)], env={}, cwd=scratch, walls=walls,
    stdin=subprocess.PIPE, stdout=1,
)
import time
while not any(True for _ in (scratch / "up").parent.glob("up")):
    time.sleep(0.01)
os._exit(0)
"""
    announced = inside.replace("sys.stdin.read()", "open('up', 'w').close(); sys.stdin.read()")
    outcome = subprocess.run(
        [sys.executable, "-c", daemon, str(scratch), str(port), announced],
        stdout=subprocess.PIPE,
        timeout=30,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert outcome.stdout == b""  # its end says that the program inside is done
    assert (scratch / "done").read_text() == "ENOSYS"


def test_a_declared_port_can_be_listened_on_from_loopback_only(run: Run) -> None:
    port = free_port()
    code = (
        TOOLS
        + """
def listen(address, family=socket.AF_INET):
    with socket.socket(family) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, int(sys.argv[1])))
        sock.listen(-1)
print(tried(listen, "127.0.0.1"), tried(listen, "0.0.0.0"), tried(listen, "::", socket.AF_INET6))
"""
    )
    assert run(code, port, bind=(port,)) == "ok EACCES EACCES"


def test_who_listens_can_be_reached_from_outside_the_walls(start: Start) -> None:
    port = free_port()
    code = (
        TOOLS
        + """
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("up", flush=True)
server.accept()[0].sendall(b"hello")
"""
    )
    process = start(code, port, bind=(port,))
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    with socket.create_connection(("127.0.0.1", port)) as connection:
        assert connection.recv(5) == b"hello"


def test_a_program_gets_a_terminal_of_its_own(run: Run) -> None:
    code = (
        TOOLS
        + """
import pty
child, terminal = pty.fork()
if child == 0:
    os.write(1, b"size" if os.get_terminal_size(0) and os.isatty(0) else b"none")
    os._exit(0)
seen = os.read(terminal, 100)
os.waitpid(child, 0)
print(seen.decode())
"""
    )
    assert run(code) == "size"


def test_somebody_elses_terminal_cannot_be_opened(run: Run) -> None:
    master, other_end = os.openpty()
    try:
        name = os.ttyname(other_end)
        assert run(TOOLS + "print(tried(open, sys.argv[1], 'w'))", name) == "EACCES"
        assert run(TOOLS + "print(tried(open, sys.argv[1]))", name) == "EACCES"
    finally:
        os.close(master)
        os.close(other_end)


class TestUnixSockets:
    """Named Unix sockets, where a policy opens them."""

    CODE = (
        TOOLS
        + """
def to(path, kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.connect(path)
print(tried(to, sys.argv[1]))
"""
    )

    @pytest.fixture
    def server(self, tmp_path: Path) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(tmp_path / "socket"))
            listening.listen()
            listening.setblocking(False)
            yield listening

    def test_are_out_of_reach_unless_opened(
        self, run: Run, server: socket.socket, tmp_path: Path
    ) -> None:
        assert run(self.CODE, tmp_path / "socket") == "EACCES"

    def test_are_all_in_reach_when_opened(
        self, run: Run, server: socket.socket, tmp_path: Path
    ) -> None:
        assert run(self.CODE, tmp_path / "socket", unix_sockets=True) == "ok"
        server.accept()[0].close()

    def test_can_be_named_from_where_the_program_stands(
        self, run: Run, server: socket.socket, tmp_path: Path
    ) -> None:
        assert run(self.CODE, "../socket", unix_sockets=True) == "ok"

    def test_can_be_opened_one_by_one(
        self, run: Run, server: socket.socket, tmp_path: Path
    ) -> None:
        path = tmp_path / "socket"
        assert run(self.CODE, path, unix_sockets=(path,)) == "ok"
        assert run(self.CODE, path, unix_sockets=(tmp_path / "another",)) == "EACCES"

    def test_stay_out_of_reach_in_a_hidden_folder_even_by_a_link(
        self, run: Run, server: socket.socket, tmp_path: Path, scratch: Path
    ) -> None:
        (scratch / "link").symlink_to(tmp_path / "socket")
        opened: dict[str, object] = {"unix_sockets": True, "hidden": (tmp_path,)}
        assert run(self.CODE, tmp_path / "socket", **opened) == "EACCES"
        assert run(self.CODE, "link", **opened) == "EACCES"
        with pytest.raises(BlockingIOError):
            server.accept()

    def test_without_a_name_in_the_file_system_stay_out_of_reach(self, run: Run) -> None:
        name = f"runbookd-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind("\0" + name)
            listening.listen()
            code = self.CODE.replace("sys.argv[1]", f"'\\0' + {name!r}")
            assert run(code, unix_sockets=True) == "EACCES"

    def test_that_are_files_of_another_kind_refuse(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert run(self.CODE, tmp_path / "file", unix_sockets=True) == "ECONNREFUSED"
        assert run(self.CODE, tmp_path / "nothing", unix_sockets=True) == "ENOENT"

    def test_can_be_made_in_scratch_when_opened(self, run: Run) -> None:
        code = (
            TOOLS
            + """
def listen(name):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(name)
        sock.listen()
print(tried(listen, "mine"), tried(listen, "\\0mine"))
"""
        )
        assert run(code, unix_sockets=True) == "ok EACCES"
