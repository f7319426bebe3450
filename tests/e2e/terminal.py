"""A real pseudo-terminal with a program in it, and the screen that a person would see."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import pyte


class Terminal:
    """Runs ``argv`` in a terminal of ``columns`` x ``lines``; :attr:`text` is its screen."""

    def __init__(
        self, argv: Sequence[str], env: dict[str, str], *, columns: int = 80, lines: int = 24
    ) -> None:
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = bytearray()
        self.pid, self._master = pty.fork()
        if self.pid == 0:
            os.execve(argv[0], list(argv), {"TERM": "xterm-256color", **env})
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    @property
    def text(self) -> str:
        """What stands on the screen."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def press(self, keys: str) -> None:
        """Type ``keys``."""
        os.write(self._master, keys.encode())

    def _read(self, wait_s: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], wait_s)
        if not ready:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    def until(self, holds: str | Callable[[str], bool], timeout_s: float = 30) -> str:
        """Read until the screen holds a text, or satisfies a predicate; the screen."""
        wanted = (lambda text: holds in text) if isinstance(holds, str) else holds
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if wanted(self.text):
                return self.text
            self._read(0.1)
        raise AssertionError(f"never on the screen: {holds!r}; it shows:\n{self.text}")

    def kill(self) -> None:
        """The window is closed with kill -9: nothing is said to the program."""
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass
            os.close(self._master)
            self.pid = 0
