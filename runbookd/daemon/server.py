"""Serves the API on a Unix socket: one daemon a home, peers known by their credentials."""

import asyncio
import contextlib
import fcntl
import grp
import os
import signal
import socket
import stat
from collections.abc import Generator, Iterator
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from runbookd.daemon.peer import peer_uid
from runbookd.errors import DaemonUnavailable

_log = structlog.get_logger(__name__)
BACKLOG = 128
"""How many connections may wait to be accepted."""


class PeerProtocol(H11Protocol):
    """HTTP/1.1 whose ``scope["client"]`` is ``("uid", <user id>)``.

    A connection whose peer is unknown is closed unread.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel who connected."""
        super().connection_made(transport)
        try:
            self.client = ("uid", peer_uid(transport.get_extra_info("socket")))
        except OSError:
            _log.warning("peer.unknown")
            transport.abort()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: the daemon decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.contextmanager
def sole_daemon(home: Path) -> Iterator[None]:
    """Hold the home's lock; the file says which process does.

    Raises:
        DaemonUnavailable: another daemon serves this home, or the home cannot be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(home / "daemon.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DaemonUnavailable(
            f"the home {home} cannot be used: {error.strerror}",
            "set RUNBOOKD_HOME to a folder that can be written",
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(lock, 32).decode("ascii", "replace").strip() or "unknown"
            raise DaemonUnavailable(
                f"a daemon (process {owner}) already serves {home}",
                "use it, or end it first",
            ) from None
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            os.ftruncate(lock, 0)
    finally:
        os.close(lock)


def bind(path: Path, group: str | None = None) -> socket.socket:
    """A socket at ``path`` that does not listen yet; call it only under :func:`sole_daemon`.

    A socket file that a dead daemon left is replaced. Others than the owner reach it only with
    ``group``, whose members then may.

    Raises:
        DaemonUnavailable: the folder is not ours, or the path cannot be bound.
    """
    try:
        gid = grp.getgrnam(group).gr_gid if group else -1
    except KeyError:
        raise DaemonUnavailable(
            f"there is no group {group!r} to share the socket with", "correct socket_group"
        ) from None
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder = path.parent.stat()
        owners = {folder.st_uid, path.parent.lstat().st_uid}
        if owners != {os.getuid()} or folder.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise DaemonUnavailable(
                f"the socket's folder {path.parent} is not ours alone",
                "set RUNBOOKD_SOCKET to a path in a folder of yours",
            )
        if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
            raise DaemonUnavailable(
                f"{path} is there and is not a socket", "set RUNBOOKD_SOCKET to another path"
            )
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        path.chmod(0o660 if group else 0o600)
        if group:
            os.chown(path, -1, gid)
            os.chown(path.parent, -1, gid)
            path.parent.chmod(0o750)
    except OSError as error:
        listener.close()
        raise DaemonUnavailable(
            f"the daemon cannot bind {path}: {error.strerror or error}",
            "set RUNBOOKD_SOCKET to a short path in a folder of yours",
        ) from None
    except DaemonUnavailable:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


async def serve_app(app: ASGIApp, listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve ``app`` until ``stop`` is set; running answers get a second to finish."""
    config = uvicorn.Config(
        app,
        http=PeerProtocol,
        ws="none",
        lifespan="off",
        backlog=BACKLOG,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.serve(sockets=[listener]))
        await stop.wait()
        server.should_exit = True
        await serving


@contextlib.contextmanager
def stop_on_signals(stop: asyncio.Event) -> Iterator[None]:
    """Set ``stop`` on SIGINT and SIGTERM."""
    loop = asyncio.get_running_loop()
    caught = (signal.SIGINT, signal.SIGTERM)
    for number in caught:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
