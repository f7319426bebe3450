"""The socket and the lock: whose they are, who may reach them, and what is never overwritten."""

import contextlib
import grp
import os
import shutil
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runbookd.daemon.peer import os_groups, os_user, peer_uid
from runbookd.daemon.server import bind, sole_daemon
from runbookd.errors import DaemonUnavailable
from tests.daemon.served import NOBODY

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be somebody else")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can look into, unlike tmp_path."""
    made = Path(tempfile.mkdtemp(prefix="runbookd-test-", dir="/tmp"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextlib.contextmanager
def bound(path: Path, group: str | None = None) -> Iterator[socket.socket]:
    listener = bind(path, group)
    try:
        listener.listen()
        yield listener
    finally:
        listener.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def connects_as_nobody(path: Path) -> str:
    code = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])"
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", code, str(path)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env={},
        capture_output=True,
        text=True,
        timeout=30,
    )
    return done.stderr.strip().rpartition("\n")[2]


def test_only_the_owner_reaches_the_socket(place: Path) -> None:
    path = place / "run" / "d.sock"
    with bound(path):
        assert mode(path) == 0o600
        assert mode(path.parent) == 0o700


@as_root
def test_another_user_reaches_the_socket_only_through_its_group(place: Path) -> None:
    path = place / "d.sock"
    with bound(path):
        assert connects_as_nobody(path).startswith("PermissionError")
    group = grp.getgrgid(NOBODY).gr_name
    with bound(path, group):
        assert (mode(path), path.stat().st_gid) == (0o660, NOBODY)
        assert (mode(path.parent), path.parent.stat().st_gid) == (0o750, NOBODY)
        assert connects_as_nobody(path) == ""


def test_a_group_that_is_not_there_shares_nothing(place: Path) -> None:
    with pytest.raises(DaemonUnavailable, match="there is no group 'no-such-group'"):
        bind(place / "d.sock", "no-such-group")
    assert not (place / "d.sock").exists()


def test_a_socket_that_a_dead_daemon_left_is_replaced(place: Path) -> None:
    path = place / "d.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    inode = path.stat().st_ino
    with bound(path):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(path))
        client.close()
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert inode


@pytest.mark.parametrize("kind", ["file", "folder", "link to a file", "fifo"])
def test_what_is_no_socket_is_refused_and_left_alone(place: Path, kind: str) -> None:
    path = place / "notes.txt"
    match kind:
        case "file":
            path.write_text("mine")
        case "folder":
            path.mkdir()
        case "link to a file":
            (place / "other").write_text("mine")
            path.symlink_to("other")
        case "fifo":
            os.mkfifo(path)
    before = path.lstat()
    with pytest.raises(DaemonUnavailable, match=r"notes\.txt is there and is not a socket"):
        bind(path)
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)


def test_a_path_that_cannot_be_bound_is_named(place: Path) -> None:
    (place / "file").write_text("")
    for path in (place / ("x" * 120), place / "file" / "d.sock", Path("/proc/runbookd/d.sock")):
        with pytest.raises(DaemonUnavailable, match="cannot bind") as told:
            bind(path)
        assert str(path) in told.value.message
        assert "\n" not in str(told.value)
        assert told.value.exit_code == 5


@pytest.mark.parametrize("open_to", [0o777, 0o1777, 0o770, 0o707])
def test_a_folder_that_others_may_write_to_holds_no_socket(place: Path, open_to: int) -> None:
    folder = place / "shared"
    folder.mkdir()
    folder.chmod(open_to)
    with pytest.raises(DaemonUnavailable, match="is not ours alone"):
        bind(folder / "d.sock")
    assert list(folder.iterdir()) == []


@as_root
def test_a_folder_of_somebody_else_holds_no_socket(place: Path) -> None:
    folder = place / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    with pytest.raises(DaemonUnavailable, match="is not ours alone"):
        bind(folder / "d.sock")
    mine = place / "mine"
    mine.mkdir(mode=0o700)
    link = place / "link"
    link.symlink_to(mine)
    os.chown(link, NOBODY, NOBODY, follow_symlinks=False)
    with pytest.raises(DaemonUnavailable, match="is not ours alone"):
        bind(link / "d.sock")
    assert list(mine.iterdir()) == []


# ---- one daemon a home -----------------------------------------------------------------------


def test_a_home_has_one_daemon(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    with sole_daemon(home):
        assert (home / "daemon.lock").read_text() == f"{os.getpid()}\n"
        assert mode(home / "daemon.lock") == 0o600
        assert mode(home) == 0o700
        with (
            pytest.raises(DaemonUnavailable, match=rf"\(process {os.getpid()}\) already serves"),
            sole_daemon(home),
        ):
            pass
        assert (home / "daemon.lock").read_text() == f"{os.getpid()}\n"
    assert (home / "daemon.lock").read_text() == ""
    with sole_daemon(home):
        pass


def test_a_daemon_that_could_not_start_is_not_said_to_serve(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), sole_daemon(tmp_path):
        raise ZeroDivisionError
    assert (tmp_path / "daemon.lock").read_text() == ""


def test_a_lock_that_a_killed_daemon_left_is_taken(tmp_path: Path) -> None:
    (tmp_path / "daemon.lock").write_text("999999999\n")
    with sole_daemon(tmp_path):
        assert (tmp_path / "daemon.lock").read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("home", ["file", "file/below"])
def test_a_home_that_cannot_be_used_is_named(tmp_path: Path, home: str) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(DaemonUnavailable, match="cannot be used") as told,
        sole_daemon(tmp_path / home),
    ):
        pass
    assert str(tmp_path / home) in told.value.message


# ---- who is there ----------------------------------------------------------------------------


def test_the_kernel_names_the_peer() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_uid(ours) == os.getuid()


@as_root
def test_the_kernel_names_a_peer_that_is_somebody_else(place: Path) -> None:
    path = place / "d.sock"
    with bound(path, grp.getgrgid(NOBODY).gr_name) as listener:
        listener.settimeout(30)
        assert connects_as_nobody(path) == ""
        connection, _ = listener.accept()
        with connection:
            assert peer_uid(connection) == NOBODY


def test_users_have_their_names_and_all_their_groups() -> None:
    assert os_user(os.getuid())
    assert os_user(2**31 - 7) == f"uid-{2**31 - 7}"
    assert os_groups(2**31 - 7) == frozenset()
    primary = grp.getgrgid(os.getgid()).gr_name
    assert primary in os_groups(os.getuid()), "the primary group lists no members"
