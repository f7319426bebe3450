"""A session at work: commands and decisions come in, events go to the record, cells run.

Decisions are taken under one lock, on the state that the record gives; effects run outside it, one
execution at a time. Whatever needs the record stops when the record cannot be extended.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, assert_never

import structlog

from runbookd.api import Accepted, CloseSession, Command, Decided, RunAdhoc, RunCell
from runbookd.approvals.channel import Channel
from runbookd.approvals.request import RequestDocument, document_digest
from runbookd.approvals.view import RequestView
from runbookd.clock import Clock, parse_rfc3339
from runbookd.errors import CommandRefused, NotApproved, RecordUnwritable, RunbookdError
from runbookd.events import (
    DAEMON,
    Actor,
    AdhocStarted,
    AdhocStartedData,
    ApprovalDecided,
    ApprovalExpired,
    ApprovalRefused,
    ApprovalRequested,
    ApprovalRevoked,
    CellStarted,
    ClosedData,
    DecidedData,
    Event,
    ReasonData,
    RefusedData,
    RequestedData,
    RevokedData,
    SessionClosed,
    StartedData,
)
from runbookd.policy.decide import Click, Refused, judge
from runbookd.policy.model import Policies
from runbookd.policy.people import identity_of
from runbookd.record.blobs import BlobStore
from runbookd.record.redaction import Redactor
from runbookd.record.sealing import monotonic
from runbookd.runbook.notebook import Runbook
from runbookd.session import asking, gate, rules
from runbookd.session.execution import Executions
from runbookd.session.journal import Journal
from runbookd.session.lanes import Lanes
from runbookd.session.noticeboard import Noticeboard
from runbookd.session.readonly import ReadOnlyLane
from runbookd.session.state import OPEN_REQUEST, Request, SessionState

_log = structlog.get_logger(__name__)

CHECKPOINT_LINES = 100
CHECKPOINT_S = 5.0
_BURST_S = 0.05


@dataclass(frozen=True)
class Tools:
    """What a session is handed from outside.

    ``policies`` reads the folder anew at each call, so that a policy that was tightened counts at
    once; it raises PolicyError, and then nothing is approved. ``token`` makes random hex digits.
    """

    clock: Clock
    policies: Callable[[], Policies]
    channels: tuple[Channel, ...]
    token: Callable[[], str]


class Session:
    """One open session.

    Args:
        journal: its record and state; already holds ``session.opened``.
        blobs: where long outputs go.
        redactor: takes secrets out of outputs.
        runbook: the frozen runbook.
        lanes: starts its kernels.
        tools: the rest of the world.

    Attributes:
        failure: why the session ended although nobody closed it; empty while all is well.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        blobs: BlobStore,
        redactor: Redactor,
        runbook: Runbook,
        lanes: Lanes,
        tools: Tools,
    ) -> None:
        self._journal = journal
        self._runbook = runbook
        self._cells = {cell.id: cell for cell in runbook.cells}
        self._lanes = lanes
        self._tools = tools
        self._redactor = redactor
        self._board = Noticeboard(journal, tools.channels, tools.policies)
        self._read_only = ReadOnlyLane(journal, lanes.start_read_only)
        self._executions = Executions(
            journal=journal,
            blobs=blobs,
            redactor=redactor,
            lanes=lanes,
            read_only=self._read_only,
        )
        # Whoever needs the read-only kernel's attention takes the first, then the second. Nobody
        # waits for a kernel while holding the second, so decisions are never late.
        self._hands = asyncio.Lock()
        self._lock = asyncio.Lock()
        self._tasks: asyncio.TaskGroup | None = None
        self._ending = asyncio.Event()
        self.failure = ""

    @property
    def state(self) -> SessionState:
        """Where the session stands."""
        return self._journal.state

    @property
    def journal(self) -> Journal:
        """The record, for those who follow."""
        return self._journal

    def view(self, request: str) -> RequestView:
        """Everything that is shown of a request, as it is now."""
        return self._board.view(request)

    async def serve(self, ready: asyncio.Event) -> None:
        """Serve until the session is closed, its record fails, :meth:`stop`, or cancellation."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                self._start(self._keep_time())
                self._start(self._read_only.warm_up(tasks))
                self._start(self._board.reconcile())
                ready.set()
                await self._ending.wait()
                self._tasks = None
                raise _Ended
        except* _Ended:
            pass
        finally:
            self._tasks = None
            ready.set()
            await self._read_only.end()
            self._journal.end()

    def stop(self) -> None:
        """Let :meth:`serve` return; the session stays open on disk."""
        self._ending.set()

    def _serving(self) -> asyncio.TaskGroup:
        if self._tasks is None:
            raise CommandRefused("the session is not being served", "restart the daemon")
        return self._tasks

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._serving().create_task(self._guard(work))

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        """Run ``work``; a record that cannot be extended ends the session, not the daemon."""
        try:
            await work
        except RecordUnwritable as error:
            _log.error("session.record_failed", session=self.state.id, error=str(error))
            self.failure = str(error)
            self._ending.set()
        except RunbookdError as error:
            _log.warning("session.work_failed", session=self.state.id, error=str(error))

    # ---- time ------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        """Expire requests and sign checkpoints when their time has come."""
        signed = self._tools.clock.monotonic_ns()
        while True:
            if self._journal.failed:
                raise RecordUnwritable("the record cannot be extended any more")
            await self._expire()
            now = self._tools.clock.monotonic_ns()
            lines = self._journal.since_checkpoint
            if lines >= CHECKPOINT_LINES or (lines and now - signed >= CHECKPOINT_S * 1e9):
                await self._journal.checkpoint()
                signed = now
            await self._journal.changed(self._until_next_expiry())
            # Events come in bursts: look once a burst, not once an event.
            await asyncio.sleep(_BURST_S)

    def _until_next_expiry(self) -> float:
        left = [
            (parse_rfc3339(asked.expires_at) - self._moment(asked)).total_seconds()
            for asked in self._open()
        ]
        return max(0.0, min([CHECKPOINT_S, *left]))

    def _moment(self, asked: Request) -> datetime:
        """Now, as far as a request's expiry goes: a clock that is set back wins no time.

        The wall clock, or what has passed since the request by the clock that never goes back,
        whichever is later. After a reboot only the first is known.
        """
        now = self._tools.clock.now()
        mono, boot = monotonic(self._tools.clock)
        if boot != asked.boot:
            return now
        since = timedelta(microseconds=(mono - asked.mono) // 1000)
        return max(now, parse_rfc3339(asked.requested_at) + since)

    async def _expire(self) -> None:
        async with self._lock:
            over = [
                asked
                for asked in self._open()
                if self._moment(asked) >= parse_rfc3339(asked.expires_at)
            ]
            for asked in over:
                data = ReasonData(reason=f"not executed before {asked.expires_at}")
                await self._journal.append(
                    ApprovalExpired(cell=asked.cell, request=asked.id, data=data)
                )
        for asked in over:
            await self._board.show(asked.id)

    def _open(self) -> list[Request]:
        return [asked for asked in self.state.requests.values() if asked.state in OPEN_REQUEST]

    # ---- commands --------------------------------------------------------------------------

    async def command(self, command: Command, actor: Actor) -> Accepted:
        """Take a command of ``actor``.

        Raises:
            CommandRefused, NotApproved, PolicyError, KernelUnavailable: it led to nothing.
            RecordUnwritable: the record cannot be extended any more.
        """
        if self._journal.failed:
            raise RecordUnwritable(
                "the record of this session cannot be extended any more",
                "look at the disk; then open a new session",
            )
        if not isinstance(command, RunCell | RunAdhoc | CloseSession):
            return await self._command(command, actor, {})
        async with self._hands:
            return await self._command(command, actor, await self._inputs(command, actor))

    async def _inputs(self, command: Command, actor: Actor) -> dict[str, str]:
        """The inputs of the cell for which ``command`` asks approval, if that is what it does.

        The kernel may take its time, so decisions are taken meanwhile; whoever gets the inputs has
        to look again what the command leads to now.
        """
        if not isinstance(command, RunCell):
            return {}
        async with self._lock:
            step = rules.step_for(self.state, command, actor.id, self._tools.clock.now())
            names = self._cells[step.cell].inputs if isinstance(step, rules.Ask) else ()
            if not names:
                return {}
        kernel = await self._read_only.kernel(self._serving())
        return await kernel.read(names)

    async def _command(self, command: Command, actor: Actor, inputs: dict[str, str]) -> Accepted:
        async with self._lock:
            now = self._tools.clock.now()
            step = rules.step_for(self.state, command, actor.id, now)
            match step:
                case rules.Record():
                    await self._journal.append(*step.events, actor=actor)
                    self._show_revoked(step.events)
                    return self._accepted()
                case rules.RunReadOnly():
                    return await self._run_cell(step.cell, actor)
                case rules.RunSource():
                    return await self._run_source(step.source, actor)
                case rules.Ask():
                    return await self._ask(step, actor, now, inputs)
                case rules.Execute():
                    return await self._execute(step.request, actor)
                case rules.InterruptRun():
                    await self._executions.interrupt(step.execution)
                    return self._accepted(execution=step.execution)
                case rules.Close():
                    return await self._close(step, actor)
                case _:
                    assert_never(step)

    def _accepted(self, execution: str | None = None, request: str | None = None) -> Accepted:
        return Accepted(seq=self.state.seq, execution=execution, request=request)

    def _show_revoked(self, events: tuple[Event, ...]) -> None:
        for event in events:
            if isinstance(event, ApprovalRevoked) and event.request is not None:
                self._start(self._board.show(event.request))

    async def _run_cell(self, name: str, actor: Actor) -> Accepted:
        cell = self._cells[name]
        timeout = cell.timeout_s or self._lanes.timeout_s("read-only")
        execution = self._tools.token()
        data = StartedData(
            execution=execution,
            lane="read-only",
            source_digest=self.state.cells[name].plan.source_digest,
            timeout_s=timeout,
        )
        tasks = self._serving()
        await self._journal.append(CellStarted(cell=name, data=data), actor=actor)
        self._start(self._executions.read_only(tasks, execution, name, cell.source, timeout))
        return self._accepted(execution=execution)

    async def _run_source(self, source: str, actor: Actor) -> Accepted:
        timeout = self._lanes.timeout_s("read-only")
        execution = self._tools.token()
        data = AdhocStartedData(execution=execution, source=source, timeout_s=timeout)
        tasks = self._serving()
        await self._journal.append(AdhocStarted(data=data), actor=actor)
        self._start(self._executions.read_only(tasks, execution, None, source, timeout))
        return self._accepted(execution=execution)

    async def _close(self, step: rules.Close, actor: Actor) -> Accepted:
        if step.revoked:
            await self._journal.append(*step.revoked, actor=actor)
        await self._read_only.end()
        await self._journal.append(SessionClosed(data=ClosedData(reason=step.reason)), actor=actor)
        await self._journal.checkpoint()
        for event in step.revoked:
            if event.request is not None:
                await self._board.show(event.request)
        self._ending.set()
        return self._accepted()

    # ---- approvals -------------------------------------------------------------------------

    async def _ask(
        self, step: rules.Ask, actor: Actor, now: datetime, inputs: dict[str, str]
    ) -> Accepted:
        cell = self._cells[step.cell]
        if set(inputs) != set(cell.inputs):
            # A request was open when we looked, and no longer is.
            raise CommandRefused("the request for this cell has just ended", "ask again")
        policies = self._tools.policies()
        wanted = asking.gate_of(self.state, self._runbook, cell, policies)
        document = asking.document(
            state=self.state,
            runbook=self._runbook,
            cell=cell,
            policies=policies,
            inputs=inputs,
            requester=actor.id,
            terms=self._lanes.terms,
            root=self._journal.root,
            now=now,
            expires_at=now + timedelta(seconds=wanted.expires_s),
            nonce=self._tools.token(),
        )
        self._refuse_secrets(document)
        request = f"r-{self._tools.token()[:10]}"
        data = RequestedData(
            document=document.model_dump(mode="json"),
            digest=document_digest(document),
            rules=wanted.rules,
            groups=wanted.group_names,
            quorum=wanted.quorum,
            expires_at=document.expires_at,
            requester=actor.id,
        )
        events: tuple[Event, ...] = (ApprovalRequested(cell=cell.id, request=request, data=data),)
        if step.instead_of is not None:
            taken = RevokedData(reason="asked again", superseded_by=request)
            revoked = ApprovalRevoked(cell=cell.id, request=step.instead_of, data=taken)
            events = (revoked, *events)
        await self._journal.append(*events, actor=actor)
        self._show_revoked(events)
        await self._journal.checkpoint()
        self._start(self._board.post(request))
        return self._accepted(request=request)

    def _refuse_secrets(self, document: RequestDocument) -> None:
        """What would be redacted cannot be approved: people must see what they approve."""
        texts = [document.source, *document.inputs.values(), *document.parameters.values()]
        rules = {rule for text in texts for rule in self._redactor.text(text)[1]}
        if rules:
            raise CommandRefused(
                f"the source or a value holds a secret ({', '.join(sorted(rules))})",
                "take it from a connector or from the lane's secrets instead",
            )

    async def decide(
        self,
        request: str,
        click: Click,
        actor: Actor,
        *,
        via: Literal["slack", "console"],
        reason: str,
    ) -> Decided:
        """Judge a decision, and record it before anybody is told.

        Raises:
            RecordUnwritable: it is not recorded, so it does not count.
        """
        async with self._lock:
            asked = self.state.requests.get(request)
            if asked is None:
                return Decided(accepted=False, state="unknown", reason="there is no such request")
            policies, refusal = self._policies_or_why()
            if policies is not None:
                cell = self._cells[asked.cell]
                wanted = asking.gate_of(self.state, self._runbook, cell, policies)
                verdict = judge(
                    wanted,
                    asking.facts(asked, policies),
                    tuple(identity_of(policies, name) for name in asked.approved_by),
                    click,
                    self._moment(asked),
                )
                if not isinstance(verdict, Refused):
                    data = DecidedData(
                        decision=click.decision,
                        person=verdict.person,
                        via=via,
                        digest=asked.digest,
                        complete=verdict.complete,
                        reason=reason,
                    )
                    decided = ApprovalDecided(cell=asked.cell, request=request, data=data)
                    await self._journal.append(decided, actor=actor)
                    await self._journal.checkpoint()
                    self._start(self._after_decision(request, wanted.on_approval == "run"))
                    return Decided(accepted=True, state=self.state.requests[request].state)
                refusal = verdict.reason
            data_refused = RefusedData(
                decision=click.decision, person=actor.id, via=via, reason=refusal
            )
            await self._journal.append(
                ApprovalRefused(cell=asked.cell, request=request, data=data_refused), actor=actor
            )
            return Decided(accepted=False, state=asked.state, reason=refusal)

    def _policies_or_why(self) -> tuple[Policies | None, str]:
        try:
            return self._tools.policies(), ""
        except RunbookdError as error:
            return None, f"the policies cannot be read, so nobody can decide: {error}"

    async def _after_decision(self, request: str, run_now: bool) -> None:
        try:
            if run_now:
                async with self._hands, self._lock:
                    approved = self.state.requests[request].state == "approved"
                    if approved and self.state.running is None:
                        await self._execute(request, DAEMON)
        finally:
            await self._board.show(request)

    async def _execute(self, request: str, actor: Actor) -> Accepted:
        """Claim an approved request and start its execution; the lock is held."""
        asked = self.state.requests[request]
        now = self._moment(asked)
        cell = self._cells[asked.cell]
        policies = self._tools.policies()
        stored = gate.stored_document(asked.document)
        fresh = asking.document(
            state=self.state,
            runbook=self._runbook,
            cell=cell,
            policies=policies,
            inputs=stored.inputs,
            requester=stored.requester,
            terms=self._lanes.terms,
            root=self._journal.root,
            now=now,
            expires_at=parse_rfc3339(asked.expires_at),
            nonce=stored.nonce,
        )
        tasks = self._serving()
        execution = self._tools.token()
        try:
            claim = await gate.claim(
                self._journal,
                request,
                fresh,
                execution=execution,
                actor=actor,
                now=now,
                policies=policies,
            )
        except NotApproved as error:
            await self._spoil(asked, str(error))
            raise
        self._start(self._run_claimed(tasks, claim))
        return self._accepted(execution=execution, request=request)

    async def _spoil(self, asked: Request, why: str) -> None:
        """An approval that does not fit any more is taken back, so that one can ask again."""
        if asked.state in OPEN_REQUEST:
            revoked = ApprovalRevoked(
                cell=asked.cell, request=asked.id, data=RevokedData(reason=why)
            )
            await self._journal.append(revoked)
            self._show_revoked((revoked,))

    async def _run_claimed(self, tasks: asyncio.TaskGroup, claim: gate.Claim) -> None:
        self._start(self._board.show(claim.request))
        await self._executions.gated(tasks, claim)
        await self._board.conclude(claim.request)


class _Ended(Exception):
    """Raised to cancel what still runs when a session ends."""
