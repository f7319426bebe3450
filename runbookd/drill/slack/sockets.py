"""Socket Mode: single-use addresses, the open sockets, envelopes and their acknowledgements.

https://docs.slack.dev/apis/events-api/using-socket-mode
"""

import asyncio
import json
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import WSMsgType, web

from runbookd.drill.slack import limits
from runbookd.drill.slack.answers import SlackError
from runbookd.drill.slack.people import APP
from runbookd.drill.slack.workspace import Workspace

_HOST = "applink-1"
_PING_S = 10.0

State = Literal["sent", "acked", "unacknowledged", "late", "no_socket", "held"]


@dataclass
class Envelope:
    """Something that was sent to the app, or should have been, and what came back."""

    id: str
    kind: str
    payload: dict[str, Any]
    accepts_response: bool
    state: State = "sent"
    response: dict[str, Any] | None = None

    def text(self) -> str:
        """What goes over the wire."""
        return json.dumps(
            {
                "envelope_id": self.id,
                "payload": self.payload,
                "type": self.kind,
                "accepts_response_payload": self.accepts_response,
            }
        )


@dataclass(eq=False)
class _Socket:
    response: web.WebSocketResponse
    transport: asyncio.BaseTransport | None
    silent: bool = False


@dataclass
class _Ticket:
    expires: float
    used: bool = False


@dataclass
class Sockets:
    """The open sockets of the app."""

    workspace: Workspace
    address: str
    """``ws://127.0.0.1:PORT/link/``."""
    envelopes: list[Envelope] = field(default_factory=list)
    hold_next: int = 0
    refuse_tickets: int = 0
    _open: list[_Socket] = field(default_factory=list)
    _tickets: dict[str, _Ticket] = field(default_factory=dict)
    _turn: int = 0
    _waiting: dict[str, list[asyncio.Future[dict[str, Any] | None]]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many sockets are open."""
        return len(self._open)

    def ticket(self) -> str:
        """A new single-use address, good for 30 s."""
        name = secrets.token_hex(16)
        self._tickets[name] = _Ticket(self.workspace.now() + limits.TICKET_S)
        return f"{self.address}?ticket={name}&app_id={APP}"

    def expire_tickets(self) -> None:
        """Let all addresses that were not used yet be too old."""
        for ticket in self._tickets.values():
            ticket.expires = self.workspace.now()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection, from its ticket to its end."""
        ticket = self._tickets.get(request.query.get("ticket", ""))
        expired = ticket is None or ticket.used or ticket.expires <= self.workspace.now()
        if self.refuse_tickets > 0 or expired or request.query.get("app_id") != APP:
            self.refuse_tickets = max(0, self.refuse_tickets - 1)
            return web.Response(status=403, text="ticket refused")
        assert ticket is not None
        ticket.used = True
        response = web.WebSocketResponse(autoping=False, max_msg_size=2**20)
        await response.prepare(request)
        if len(self._open) >= limits.SOCKETS:
            await response.send_str(_disconnect("too_many_websockets"))
            await response.close()
            return response
        socket = _Socket(response, request.transport)
        self._open.append(socket)
        try:
            async with asyncio.TaskGroup() as group:
                pinging = group.create_task(_keep_pinging(socket))
                await response.send_str(self._hello())
                self.workspace.changed()
                await self._listen(socket)
                pinging.cancel()
        except* ConnectionError:
            pass
        finally:
            self._open.remove(socket)
            self.workspace.changed()
        return response

    def _hello(self) -> str:
        return json.dumps(
            {
                "type": "hello",
                "num_connections": len(self._open),
                "connection_info": {"app_id": APP},
                "debug_info": {
                    "host": _HOST,
                    "started": "2026-11-24 02:00:00.000",
                    "build_number": 1,
                    "approximate_connection_time": 18060,
                },
            }
        )

    async def _listen(self, socket: _Socket) -> None:
        async for message in socket.response:
            if socket.silent:
                continue
            if message.type is WSMsgType.PING:
                await socket.response.pong(message.data)
            elif message.type is WSMsgType.TEXT:
                self._acknowledged(message.data)

    def _acknowledged(self, text: str) -> None:
        try:
            ack = json.loads(text)
            envelope_id, payload = ack["envelope_id"], ack.get("payload")
        except (ValueError, TypeError, KeyError):
            self.workspace.violation("the app sent something that is no acknowledgement")
            return
        envelope = next((e for e in reversed(self.envelopes) if e.id == envelope_id), None)
        if envelope is None:
            self.workspace.violation("the app acknowledged an envelope that was never sent")
            return
        if payload and not envelope.accepts_response:
            self.workspace.violation("an acknowledgement carried a payload that is not accepted")
        waiting = self._waiting.get(envelope_id, [])
        if waiting:
            waiting.pop(0).set_result(payload or None)
        elif envelope.state == "unacknowledged":
            envelope.state = "late"
            self.workspace.changed()
        else:
            self.workspace.violation("the app acknowledged an envelope twice")

    async def deliver(
        self,
        kind: str,
        payload: dict[str, Any],
        *,
        accepts_response: bool = False,
        envelope_id: str | None = None,
    ) -> Envelope:
        """Send an envelope to one of the open sockets and wait up to 3 s for its acknowledgement.

        It is sent once, never again, as Slack does with interactive payloads.
        """
        envelope = Envelope(envelope_id or str(uuid.uuid4()), kind, payload, accepts_response)
        self.envelopes.append(envelope)
        if self.hold_next > 0:
            self.hold_next -= 1
            envelope.state = "held"
            self.workspace.changed()
            return envelope
        return await self._send(envelope)

    async def release_held(self) -> list[Envelope]:
        """Send what was held back, in order."""
        return [await self._send(each) for each in self.envelopes if each.state == "held"]

    async def replay(self, envelope_id: str) -> Envelope:
        """Send an envelope once more, as it was, under its id.

        Raises:
            SlackError: ``no_such_envelope``.
        """
        for envelope in self.envelopes:
            if envelope.id == envelope_id:
                return await self.deliver(
                    envelope.kind,
                    envelope.payload,
                    accepts_response=envelope.accepts_response,
                    envelope_id=envelope_id,
                )
        raise SlackError("no_such_envelope")

    async def _send(self, envelope: Envelope) -> Envelope:
        if not self._open:
            envelope.state = "no_socket"
            self.workspace.changed()
            return envelope
        envelope.state = "sent"
        self._turn += 1
        socket = self._open[self._turn % len(self._open)]
        answer: asyncio.Future[dict[str, Any] | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(envelope.id, []).append(answer)
        try:
            if not socket.silent:
                await socket.response.send_str(envelope.text())
            async with asyncio.timeout(limits.ACK_S):
                envelope.response = await answer
            envelope.state = "acked"
        except (TimeoutError, ConnectionError):
            envelope.state = "unacknowledged"
        finally:
            if answer in self._waiting[envelope.id]:
                self._waiting[envelope.id].remove(answer)
            self.workspace.changed()
        return envelope

    async def announce_disconnect(self, reason: str) -> None:
        """Send ``disconnect`` to all sockets; ``refresh_requested`` also closes them."""
        for socket in list(self._open):
            await socket.response.send_str(_disconnect(reason))
            if reason != "warning":
                await socket.response.close()

    def drop(self) -> int:
        """Cut all sockets without a word; how many there were."""
        for socket in self._open:
            if isinstance(socket.transport, asyncio.Transport):
                socket.transport.abort()
        return len(self._open)

    def silence(self, silent: bool) -> None:
        """Let the open sockets stay open but neither say nor hear anything; or undo that."""
        for socket in self._open:
            socket.silent = silent

    async def close(self) -> None:
        """Close all sockets, at the end."""
        for socket in list(self._open):
            await socket.response.close()


async def _keep_pinging(socket: _Socket) -> None:
    while True:
        await asyncio.sleep(_PING_S)
        if not socket.silent:
            await socket.response.ping(f"Ping from {_HOST}".encode())


def _disconnect(reason: str) -> str:
    return json.dumps({"type": "disconnect", "reason": reason, "debug_info": {"host": _HOST}})
