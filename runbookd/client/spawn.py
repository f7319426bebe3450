"""Finds the daemon of a home, and starts one that outlives the terminal when there is none."""

import asyncio
import contextlib
import os
import stat
import sys
import time
from pathlib import Path

from runbookd.errors import DaemonUnavailable
from runbookd.settings import Settings, default_socket

START_TIMEOUT_S = 30.0
_POLL_S = 0.02


async def ensure_daemon(settings: Settings, *, start: bool = True) -> None:
    """Return once a daemon answers on the socket of ``settings``.

    Raises:
        DaemonUnavailable: none answers and none may or can be started; says why. Also when the
            place where the daemon would be is another user's.
    """
    _refuse_foreign(settings)
    if await _answers(settings.socket):
        return
    if not start:
        raise DaemonUnavailable(
            f"no daemon serves {settings.home}", "start one with `runbookd serve`"
        )
    await _start(settings)


def _refuse_foreign(settings: Settings) -> None:
    """Where nobody named a socket, only our own daemon is spoken to.

    The default may lie in the temporary folder, where anybody can make a folder of that name and
    a daemon in it that approves everything. A socket that was named may be another user's.
    """
    folder = settings.socket.parent
    if settings.socket == default_socket(settings.home) and os.path.lexists(folder):
        found = folder.lstat()
        if found.st_uid != os.getuid() or not stat.S_ISDIR(found.st_mode):
            raise DaemonUnavailable(
                f"{folder} is not ours, so no daemon is looked for in it",
                "remove it, or set RUNBOOKD_SOCKET",
            )


async def _answers(socket: Path) -> bool:
    try:
        _, writer = await asyncio.open_unix_connection(str(socket))
    except OSError:
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True


async def _start(settings: Settings) -> None:
    log = settings.home / "log" / "daemon.err"
    try:
        for folder in (settings.home, log.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        output = log.open("ab")
    except OSError as error:
        raise DaemonUnavailable(
            f"the home {settings.home} cannot be written: {error.strerror}",
            "set RUNBOOKD_HOME to a folder that can",
        ) from None
    with output:
        said_before = output.tell()
        # Not subprocess: the daemon outlives us, which is nothing that Popen wants to hear.
        pid = os.posix_spawn(  # noqa: ASYNC221 - returns at once
            sys.executable,
            [sys.executable, "-m", "runbookd", "serve", "--on-demand"],
            os.environ | _environment(settings),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, output.fileno(), 2),
            ],
            setsid=True,
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    left = False
    while time.monotonic() < deadline:
        if await _answers(settings.socket):
            return
        left = left or os.waitpid(pid, os.WNOHANG)[0] == pid  # noqa: ASYNC222 - does not wait
        # Another client may have started one at the same moment: then ours left again.
        if left and not _is_held(settings.home) and not await _answers(settings.socket):
            raise DaemonUnavailable(_last_words(log, said_before), f"more is in {log}")
        await asyncio.sleep(_POLL_S)
    raise DaemonUnavailable(
        f"the daemon did not answer within {START_TIMEOUT_S:.0f} s", f"see {log}"
    )


def _is_held(home: Path) -> bool:
    """Whether a process that is alive has the home, by the number in its lock file."""
    try:
        os.kill(int((home / "daemon.lock").read_text("ascii")), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "RUNBOOKD_HOME": str(settings.home),
        "RUNBOOKD_SOCKET": str(settings.socket),
        "RUNBOOKD_RUNBOOKS": str(settings.runbooks),
        "RUNBOOKD_POLICIES": str(settings.policies),
    }


def _last_words(log: Path, start: int) -> str:
    with log.open("rb") as file:
        file.seek(start)
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
    said = lines[-1].removeprefix("runbookd: ") if lines else "it said nothing"
    return f"the daemon could not start: {said}"
