"""What a session needs in tests: real record, rules, gate and daemon; kernels that only log."""

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runbookd.api import ChannelHealth, Command, Decided, Decision, OpenSession
from runbookd.approvals.channel import (
    ApproverFacts,
    DecisionReply,
    IncomingDecision,
    Ref,
    SlackIdentity,
)
from runbookd.approvals.view import RequestView
from runbookd.canonical import sha256
from runbookd.daemon.service import DaemonService
from runbookd.daemon.sessions import Sessions, World
from runbookd.errors import Unavailable
from runbookd.events import Recorded, SandboxReport
from runbookd.kernels.execution import Outcome
from runbookd.policy.model import (
    Approve,
    Connector,
    GatedLane,
    Group,
    Lanes,
    PersonNames,
    Policies,
    ReadOnlyLane,
    Rule,
)
from runbookd.record.redaction import Redactor
from runbookd.session.asking import Terms
from runbookd.session.engine import Session, Tools
from runbookd.session.state import SessionState
from tests.record.world import ManualClock

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))

PEOPLE = {
    # person: (OS user, uid, Slack user)
    "alice": ("alice", 1001, "U0ALICE"),
    "bob": ("bob", 1002, "U0BOB"),
    "dana": ("dana", 1003, "U0DANA"),
    "lee": ("lee", 1004, "U0LEE"),
    # Bob again, under the account of his on-call phone.
    "bob-phone": ("bob-phone", 1005, "U0BOBPHONE"),
    "mallory": ("mallory", 1006, "U0MALLORY"),
}
"""mallory is in no group; bob and bob-phone are one person."""

_TOKENS = itertools.count(1)

UIDS = {uid: os_user for os_user, uid, _ in PEOPLE.values()}


def policies(quorum: int = 1, *, expires: int = 900, on_approval: str = "hold") -> Policies:
    """alice, bob, dana and lee command, so that only the ban on self-approval keeps alice out."""
    lanes = Lanes(
        **{"read-only": ReadOnlyLane(), "gated": GatedLane(writable=("/var/log/checkout",))}
    )
    return Policies(
        digest=sha256(f"{quorum} {expires} {on_approval}"),
        identities=(
            PersonNames(person="alice", os_user=("alice",), slack=("U0ALICE",)),
            PersonNames(person="bob", os_user=("bob", "bob-phone"), slack=("U0BOB", "U0BOBPHONE")),
            PersonNames(person="dana", os_user=("dana",), slack=("U0DANA",)),
            PersonNames(person="lee", os_user=("lee",), slack=("U0LEE",)),
            PersonNames(person="mallory", os_user=("mallory",), slack=("U0MALLORY",)),
        ),
        groups={"commanders": Group(people=("alice", "bob", "dana", "lee"))},
        rules=(
            Rule(
                name="all",
                approve=Approve(by=("commanders",), quorum=quorum, expires=f"{expires}s"),
                on_approval=on_approval,
            ),
        ),
        connectors={
            "checkout": Connector(
                url="http://127.0.0.1:9", **{"read-only": ("GET /*",)}, gated=("POST /pool",)
            )
        },
        lanes=lanes,
    )


def notebook(*cells: dict[str, Any], **about: Any) -> bytes:
    """A notebook of code cells, each given as its id, source and runbookd metadata."""
    return json.dumps(
        {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {
                "kernelspec": {"name": "python3", "display_name": "Python 3"},
                "runbookd": {"title": "Checkout", "environment": "production", **about},
            },
            "cells": [
                {
                    "cell_type": "code",
                    "id": cell["id"],
                    "source": cell.get("source", f"{cell['id']}()"),
                    "metadata": {"runbookd": cell.get("runbookd", {})},
                    "outputs": [],
                    "execution_count": None,
                }
                for cell in cells
            ],
        }
    ).encode()


LOOK = {"id": "look", "source": "target = 40"}
FIX = {
    "id": "fix",
    "source": "resize(target)",
    "runbookd": {"mode": "gated", "risk": "high", "inputs": ["target"]},
}
HANDS = {"id": "hands", "source": "", "runbookd": {"mode": "manual", "title": "Call the vendor"}}
AFTER = {"id": "after", "runbookd": {"requires": ["fix"]}}
RESTART = {"id": "restart", "source": "restart()", "runbookd": {"mode": "gated", "risk": "low"}}


class Ran:
    """One source that reached a kernel."""

    def __init__(self, kernel: "LogKernel", source: str) -> None:
        self.kernel = kernel
        self.lane = kernel.lane
        self.source = source
        self.bound = dict(kernel.bound)
        self.claim = kernel.claim
        self.at = kernel.ground.clock.now()
        self.mono = kernel.ground.clock.monotonic_ns()


class Ground:
    """What kernels are made of here, and all they did.

    ``holding`` lets executions wait until :meth:`release`; ``outputs`` come from every execution;
    ``values`` are what variables hold; nobody gets them while ``may_read`` is not set.
    """

    def __init__(self, clock: ManualClock, level: str = "full") -> None:
        self.clock = clock
        self.level = level
        self.ran: list[Ran] = []
        self.kernels: list[LogKernel] = []
        self.holding = False
        self.values: dict[str, str] = {"target": "40"}
        self.outputs: list[tuple[str, Mapping[str, str | bytes]]] = []
        self.outcome = Outcome("ok", 1)
        self.start_error: Exception | None = None
        self.bind_error: Exception | None = None
        self.reading = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self._released = asyncio.Event()
        self._ids = itertools.count(1)

    @property
    def gated(self) -> list[Ran]:
        return [ran for ran in self.ran if ran.lane == "gated"]

    @property
    def alive(self) -> list["LogKernel"]:
        return [kernel for kernel in self.kernels if not kernel.ended]

    def hold(self) -> None:
        self.holding = True
        self._released = asyncio.Event()

    def release(self) -> None:
        self.holding = False
        self._released.set()

    async def wait(self) -> None:
        if self.holding:
            await self._released.wait()

    def kernel(self, lane: str, claim: Any = None) -> "LogKernel":
        made = LogKernel(self, lane, f"k{next(self._ids)}", claim)
        self.kernels.append(made)
        return made


class LogKernel:
    """Stands for :class:`runbookd.session.lanes.LaneKernel`; runs nothing."""

    kernelspec = "python3"

    def __init__(self, ground: Ground, lane: str, name: str, claim: Any) -> None:
        self.ground = ground
        self.lane = lane
        self.id = name
        self.claim = claim
        self.level = ground.level
        self.bound: dict[str, str] = {}
        self.refusals: list[str] = []
        self.ended = False
        self.interrupted = False
        self._died: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def attribute(self, execution: str, cell: str | None, request: str | None) -> None:
        self.execution, self.cell, self.request = execution, cell, request

    async def execute(self, source: str, take: Any, *, settled: Any, timeout_s: float) -> Outcome:
        del timeout_s
        self.ground.ran.append(Ran(self, source))
        for channel, mimes in self.ground.outputs:
            await take(channel, mimes)
        await settled()
        await self.ground.wait()
        return self.ground.outcome

    async def interrupt(self) -> None:
        self.interrupted = True
        self.ground.release()

    async def read(self, names: Iterable[str]) -> dict[str, str]:
        self.ground.reading.set()
        await self.ground.may_read.wait()
        return {name: self.ground.values[name] for name in names}

    async def bind(self, values: Mapping[str, str]) -> None:
        if self.ground.bind_error is not None:
            raise self.ground.bind_error
        self.bound.update(values)

    def die(self, why: str) -> None:
        self._died.set_result(why)

    async def died(self) -> str:
        return await self._died

    async def end(self) -> None:
        self.ended = True


class LogLanes:
    """Stands for :class:`runbookd.session.lanes.Lanes`."""

    def __init__(self, journal: Any, runbook: Any, ground: Ground, policies: Any) -> None:
        del journal, runbook
        self._ground = ground
        self._policies = policies

    @property
    def terms(self) -> Terms:
        return Terms("python", "python3", sha256("python3"), self._ground.level)  # type: ignore[arg-type]

    def timeout_s(self, lane: str) -> int:
        lanes = self._policies().lanes
        return (lanes.read_only if lane == "read-only" else lanes.gated).timeout

    async def start_read_only(self) -> LogKernel:
        if self._ground.start_error is not None:
            raise self._ground.start_error
        return self._ground.kernel("read-only")

    async def start_gated(self, claim: Any) -> LogKernel:
        if self._ground.start_error is not None:
            raise self._ground.start_error
        return self._ground.kernel("gated", claim)


class Board:
    """An approval channel that keeps what it was shown."""

    def __init__(self, name: str = "slack") -> None:
        self.name = name
        self.away = False
        self.posted: list[RequestView] = []
        self.updates: list[tuple[Ref, RequestView]] = []
        self.threads: list[tuple[Ref, str]] = []
        self.refused = 0

    def health(self) -> ChannelHealth:
        return ChannelHealth(name=self.name, state="connected", since="")

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def post(self, view: RequestView) -> Ref:
        if self.away:
            self.refused += 1
            raise Unavailable("the channel is away")
        self.posted.append(view)
        return {"ts": str(len(self.posted))}

    async def update(self, ref: Ref, view: RequestView) -> None:
        self.updates.append((ref, view))

    async def thread(self, ref: Ref, text: str) -> None:
        self.threads.append((ref, text))

    def shown(self, request: str) -> str:
        """The state that this channel shows of a request now."""
        for _, view in reversed(self.updates):
            if view.id == request:
                return view.state
        return next(view.state for view in self.posted if view.id == request)


class Daemon:
    """A daemon without socket and kernels over a home: everything between API and record."""

    def __init__(
        self,
        home: Path,
        *,
        clock: ManualClock,
        ground: Ground,
        rules: Policies,
        boards: tuple[Board, ...] = (),
        redactor: Redactor | None = None,
    ) -> None:
        self.home = home
        self.clock = clock
        self.ground = ground
        self.rules = rules
        self.boards = boards
        self._stop = asyncio.Event()
        report = SandboxReport(level=ground.level, backend="test", kernel="test")  # type: ignore[arg-type]
        world = World(
            host="host",
            key=KEY,
            clock=clock,
            report=report,
            ground=ground,  # type: ignore[arg-type]
            tools=Tools(
                clock=clock,
                policies=lambda: self.rules,
                channels=boards,
                token=lambda: sha256(f"token {next(_TOKENS)}")[:32],
            ),
            redactor=lambda _: redactor or Redactor(),
        )
        self.sessions = Sessions(home / "sessions", world)
        settings: Any = SimpleNamespace(runbooks=home / "runbooks", home=home)
        self.service = DaemonService(
            settings=settings,
            clock=clock,
            report=report,
            policies=lambda: self.rules,
            sessions=self.sessions,
            channels=boards,
        )

    async def start(self) -> None:
        ready = asyncio.Event()
        self._task = asyncio.create_task(self.sessions.serve(ready, self._stop))
        await ready.wait()

    async def end(self) -> None:
        self._stop.set()
        await self._task

    async def crashed(self, home: Path) -> None:
        """As after kill -9 at this moment: what is on the disk now goes on in ``home``."""
        await asyncio.to_thread(shutil.copytree, self.home, home)
        await self.end()

    async def open(self, raw: bytes, who: str = "alice", **wanted: Any) -> str:
        path = self.home / "runbooks" / "checkout.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
        info = await self.service.open(OpenSession(runbook="checkout.ipynb", **wanted), uid(who))
        return info.id

    def session(self, name: str) -> Session:
        return self.sessions.find(name)

    def state(self, name: str) -> SessionState:
        return self.session(name).state

    async def command(self, session: str, command: Command, who: str = "alice") -> Any:
        return await self.service.command(session, command, self.service.actor(uid(who)))

    async def console(
        self, request: str, who: str, decision: str = "approve", reason: str = ""
    ) -> Decided:
        wanted = Decision(decision=decision, reason=reason)  # type: ignore[arg-type]
        return await self.service.decide(request, wanted, uid(who))

    async def slack(
        self,
        session: str,
        request: str,
        who: str,
        decision: str = "approve",
        *,
        digest: str | None = None,
        problems: tuple[str, ...] = (),
    ) -> DecisionReply:
        asked = self.state(session).requests[request]
        incoming = IncomingDecision(
            request=request,
            session=session,
            digest=digest or asked.digest,
            decision=decision,  # type: ignore[arg-type]
            reason="",
            via="slack",
            identity=SlackIdentity(team="T", user=PEOPLE[who][2], enterprise=None, app="A"),
            facts=ApproverFacts(problems=problems),
            key=(request, who),
        )
        return await self.service.slack_decision(incoming)

    async def settled(self, session: str) -> SessionState:
        """The state once nothing runs."""
        journal = self.session(session).journal
        while journal.state.running is not None:
            await journal.changed()
        return journal.state

    async def until(self, session: str, holds: Any) -> SessionState:
        journal = self.session(session).journal
        while not holds(journal.state):
            await journal.changed()
        return journal.state

    def lines(self, session: str) -> list[Recorded]:
        """What is in the record's file."""
        path = self.home / "sessions" / session / "record.jsonl"
        return [Recorded.from_json(json.loads(line)) for line in path.read_bytes().splitlines()]

    def types(self, session: str) -> list[str]:
        return [line.event.type for line in self.lines(session)]


def uid(who: str) -> int:
    return PEOPLE[who][1]


@asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[Daemon]:
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.end()
