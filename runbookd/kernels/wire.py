"""The wire between the daemon and one kernel: Jupyter's messaging protocol over ZeroMQ.

Addresses and keys live in a connection file in the kernel's own scratch folder, which no other
kernel can read, and only until the kernel has read it. Messages are signed (HMAC-SHA256) and, where
the kernel can, encrypted (CurveZMQ), since any local process may connect to a loopback port.
Receiving has no high-water mark: the default one loses output silently when the daemon is busy for
a moment.
"""

import asyncio
import hmac
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import structlog
import zmq
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.session import Session

from runbookd.kernels.ports import free_ports

log = structlog.get_logger(__name__)

Message = Mapping[str, Any]
"""A message as jupyter_client unpacks it: header, parent_header, metadata, content, buffers.

One that is too long to be looked into has its size as ``too_long``, and no content.
"""

# What the daemon is ready to take into memory at once; more ends the connection.
_MAX_MESSAGE = 256 * 1024 * 1024
_PORTS = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
_LONGEST_TURN_S = 0.01
_LONGEST_HEADER = 64 * 1024
# A kernel that starts is waited for at its door; the usual 100 ms would be a third of its start.
_KNOCK_AGAIN_MS = 10


class Wire:
    """The client's end of a kernel's sockets.

    Args:
        folder: the kernel's scratch folder; a new one, private to the owner, is made in it.
        curve: encrypt; only for kernels whose spec says that they can.
        longest: bytes of the longest message whose content is looked into. Parsing one holds up
            everything else in this process, so what could not be kept anyway is not parsed.
    """

    def __init__(self, folder: Path, *, curve: bool, longest: int = _MAX_MESSAGE) -> None:
        self._longest = longest
        ports = free_ports(len(_PORTS), secrets.SystemRandom())
        self.folder = Path(tempfile.mkdtemp(prefix=".wire-", dir=folder))
        self.connection_file = self.folder / "connection.json"
        # Plain sockets, not zmq.asyncio's: those lose the news of an answer that arrives while
        # something is being sent, and then wait for it for ever.
        self._context = zmq.Context()
        self._news: dict[str, asyncio.Event] = {}
        self._context.setsockopt(zmq.RCVHWM, 0)
        self._context.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE)
        self._context.setsockopt(zmq.LINGER, 0)
        self._context.setsockopt(zmq.RECONNECT_IVL, _KNOCK_AGAIN_MS)
        self._client = BlockingKernelClient(
            context=self._context,
            connection_file=str(self.connection_file),
            session=Session(key=secrets.token_hex(32).encode()),
        )
        for name, port in zip(_PORTS, ports, strict=True):
            setattr(self._client, name, port)
        if curve:
            public, secret = zmq.curve_keypair()
            self._client.curve_publickey, self._client.curve_secretkey = public, secret

    def write_file(self) -> None:
        """Write the connection file. Raises OSError."""
        self._client.write_connection_file()

    @property
    def ports(self) -> tuple[int, ...]:
        """The loopback ports that the kernel is to listen on."""
        return tuple(self._client.ports)

    def connect(self) -> None:
        """Connect to all but stdin: nobody is there to answer a cell that asks."""
        self._client.start_channels(stdin=False, hb=False)

    def forget_file(self) -> None:
        """Remove the connection file, once the kernel has read it."""
        self.connection_file.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the sockets and remove the private folder. May be called twice."""
        self._client.stop_channels()
        self._context.destroy(linger=0)
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask_info(self) -> str:
        """Send kernel_info_request; returns the id that its answers carry."""
        return self._sent(self._client.kernel_info())

    def ask_execute(
        self, source: str, *, silent: bool = False, expressions: Mapping[str, str] | None = None
    ) -> str:
        """Send execute_request, with input refused; returns the id that its answers carry."""
        return self._sent(
            self._client.execute(
                source,
                silent=silent,
                store_history=not silent,
                user_expressions=dict(expressions or {}),
                allow_stdin=False,
            )
        )

    def ask_interrupt(self) -> None:
        """Send interrupt_request on the control channel."""
        message = self._client.session.msg("interrupt_request", content={})
        self._client.control_channel.send(message)
        self._sent(message["msg_id"])

    def ask_shutdown(self) -> None:
        """Send shutdown_request on the control channel."""
        self._sent(self._client.shutdown())

    def _sent(self, message_id: Any) -> str:
        """Sending uses up the sockets' own news of what arrived: have everybody look again."""
        for news in self._news.values():
            news.set()
        return str(message_id)

    async def read(
        self, channel: Literal["shell", "iopub"], handle: Callable[[Message], None]
    ) -> None:
        """Hand every message of a channel to ``handle``, until cancelled.

        What is not a well-formed, correctly signed message is logged and left out.
        """
        socket = getattr(self._client, f"{channel}_channel").socket
        loop, descriptor = asyncio.get_running_loop(), socket.getsockopt(zmq.FD)
        news = self._news[channel] = asyncio.Event()
        loop.add_reader(descriptor, news.set)
        try:
            while True:
                # Cleared before looking: what arrives meanwhile sets it again.
                news.clear()
                await self._take_all(socket, channel, handle)
                await news.wait()
        finally:
            loop.remove_reader(descriptor)
            del self._news[channel]

    async def _take_all(
        self, socket: zmq.Socket[bytes], channel: str, handle: Callable[[Message], None]
    ) -> None:
        turn = time.monotonic()
        while int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            frames = socket.recv_multipart(zmq.NOBLOCK)
            try:
                handle(self._unpacked(frames))
            except Exception as error:  # noqa: BLE001 - a kernel can send anything at all
                log.warning("kernel message not understood", channel=channel, error=repr(error))
            # A flood is always ready: let others have their turn.
            if time.monotonic() - turn > _LONGEST_TURN_S:
                await asyncio.sleep(0)
                turn = time.monotonic()

    def _unpacked(self, frames: Sequence[bytes]) -> Message:
        """The message in these frames. Raises ValueError and others when it is none of ours."""
        session = self._client.session
        _, rest = session.feed_identities(frames)
        size = sum(map(len, rest))
        if size <= self._longest:
            found: Message = session.deserialize(rest)
            return found
        signature, header, parent = rest[:3]
        if len(header) + len(parent) > _LONGEST_HEADER:
            raise ValueError(f"a message of {size} bytes")
        if not hmac.compare_digest(session.sign(rest[1:5]), signature):
            raise ValueError(f"a message of {size} bytes, not signed with the kernel's key")
        return {
            "header": json.loads(header),
            "parent_header": json.loads(parent),
            "content": {},
            "too_long": size,
        }
