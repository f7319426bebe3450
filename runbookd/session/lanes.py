"""Starts the kernels of a session: the walls, environment and connectors that its policy gives."""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runbookd.approvals.request import RequestDocument
from runbookd.errors import KernelUnavailable, RecordUnwritable, RunbookError
from runbookd.events import ConnectorData, ConnectorRequested, Lane, OutputChannel, SandboxLevel
from runbookd.kernels.connectors import ConnectorProxy, ConnectorRule, Grant
from runbookd.kernels.kernel import Kernel, KernelOptions, Outcome, Settled
from runbookd.kernels.outputs import KernelOutput
from runbookd.kernels.sandbox import Sandbox, Walls
from runbookd.kernels.specs import find_kernelspec, kernelspec_digest
from runbookd.model import JsonText
from runbookd.policy.model import Connector, LaneLimits, Policies
from runbookd.runbook.notebook import Runbook
from runbookd.session.asking import Terms
from runbookd.session.gate import Claim
from runbookd.session.journal import Journal
from runbookd.visible import one_line

TakeOutput = Callable[[OutputChannel, Mapping[str, str | bytes], bool], Awaitable[None]]


@dataclass(frozen=True)
class Ground:
    """What the daemon gives to the lanes of every session.

    ``hidden`` is what no kernel may read, the daemon's home first. ``resolve`` turns a secret
    reference into its value and has it redacted from then on.
    """

    sandbox: Sandbox
    proxy: ConnectorProxy
    switchboard: "Switchboard"
    hidden: tuple[Path, ...]
    resolve: Callable[[str], Awaitable[str]]


class Switchboard:
    """Puts each connector request into the record of the session whose kernel sent it."""

    def __init__(self) -> None:
        self._routes: dict[str, tuple[Journal, LaneKernel]] = {}

    def connect(self, token: str, journal: Journal, kernel: "LaneKernel") -> None:
        """Requests under ``token`` belong to ``kernel``."""
        self._routes[token] = (journal, kernel)

    def disconnect(self, token: str) -> None:
        """The kernel is no more."""
        self._routes.pop(token, None)

    async def record(self, grant: Grant, data: ConnectorData) -> None:
        """Record one request; raises RecordUnwritable when that cannot be done."""
        journal, kernel = self._route(grant)
        if data.refused:
            kernel.refusals.append(data.refused)
        event = ConnectorRequested(cell=kernel.cell, request=kernel.request, data=data)
        await journal.append(event)

    async def allow(self, grant: Grant, method: str, path: str) -> None:
        """Refuse, by raising, what could not be recorded any more."""
        del method, path
        journal, _ = self._route(grant)
        if journal.failed:
            raise RecordUnwritable("the session's record cannot be extended any more")

    def _route(self, grant: Grant) -> "tuple[Journal, LaneKernel]":
        route = self._routes.get(grant.token)
        if route is None:
            raise RecordUnwritable("no session answers for this kernel's requests")
        return route


class LaneKernel:
    """A kernel with the walls of its lane around it, its connectors, and a scratch folder."""

    def __init__(
        self,
        kernel: Kernel,
        *,
        kernelspec: str,
        grant: Grant,
        scratch: Path,
        switchboard: Switchboard,
    ) -> None:
        self._kernel = kernel
        self._switchboard = switchboard
        self._grant = grant
        self._scratch = scratch
        self.id = kernel.id
        self.lane: Lane = kernel.lane
        self.level: SandboxLevel = kernel.level
        self.kernelspec = kernelspec
        self.cell: str | None = None
        self.request: str | None = None
        self.refusals: list[str] = []

    def attribute(self, execution: str, cell: str | None, request: str | None) -> None:
        """From now on connector requests belong to this execution."""
        self._grant.execution = execution
        self.cell, self.request = cell, request
        self.refusals = []

    async def execute(
        self, source: str, take: TakeOutput, *, settled: Settled, timeout_s: float
    ) -> Outcome:
        """Run ``source``; outputs go to ``take``; never hangs beyond the timeout.

        ``settled`` is called whenever everything that is there has been taken.
        """

        async def each(output: KernelOutput) -> None:
            await take(output.channel, output.mimes, output.cut)

        return await self._kernel.execute(source, each, timeout_s, settled=settled)

    async def interrupt(self) -> None:
        """Interrupt what runs."""
        await self._kernel.interrupt()

    async def read(self, names: Iterable[str]) -> dict[str, JsonText]:
        """The values of variables, as JSON text."""
        return await self._kernel.read(names)

    async def bind(self, values: Mapping[str, JsonText]) -> None:
        """Set variables."""
        await self._kernel.bind(values)

    async def died(self) -> str:
        """Wait until the process is gone without having been ended; why."""
        return await self._kernel.died()

    async def end(self) -> None:
        """End the kernel and all it started; its addresses and scratch are no more."""
        self._grant.revoke()
        try:
            await self._kernel.end()
        finally:
            self._switchboard.disconnect(self._grant.token)
            await asyncio.to_thread(shutil.rmtree, self._scratch, True)


class Lanes:
    """The kernels of one session.

    Args:
        policies: reads the policies as they are now.
    """

    def __init__(
        self,
        journal: Journal,
        runbook: Runbook,
        ground: Ground,
        policies: Callable[[], Policies],
    ) -> None:
        self._journal = journal
        self._runbook = runbook
        self._ground = ground
        self._policies = policies

    @property
    def terms(self) -> Terms:
        """What a gated kernel would be at this moment."""
        name = self._runbook.kernelspec
        return Terms(
            language=find_kernelspec(name).language,
            kernelspec=name,
            kernelspec_digest=kernelspec_digest(name),
            level=self._ground.sandbox.level,
        )

    def timeout_s(self, lane: Lane) -> int:
        """The lane's time limit for a cell that names none."""
        lanes = self._policies().lanes
        return (lanes.read_only if lane == "read-only" else lanes.gated).timeout

    async def start_read_only(self) -> LaneKernel:
        """A kernel of the read-only lane, the session's parameters bound."""
        policies = self._policies()
        lane = policies.lanes.read_only
        kernel = await self._start("read-only", policies, lane, self._runbook.connectors, ())
        return await self._bound(kernel)

    async def start_gated(self, claim: Claim) -> LaneKernel:
        """A fresh kernel of the gated lane, as far open as the approved document says.

        Raises:
            KernelUnavailable: it does not start, or what it would be changed since the claim.
        """
        policies = self._policies()
        self._refuse_changes(claim.document, policies)
        lane = policies.lanes.gated
        names = tuple(connector.name for connector in claim.document.connectors)
        return await self._start("gated", policies, lane, names, lane.writable)

    def _refuse_changes(self, approved: RequestDocument, policies: Policies) -> None:
        """What is read from the disk here must still be what the claim was checked against."""
        if policies.digest != approved.policy_digest:
            raise KernelUnavailable("the policies changed since the approval was used", "ask again")
        if self.terms.kernelspec_digest != approved.kernelspec_digest:
            raise KernelUnavailable("the kernel changed since the approval was used", "ask again")

    async def _bound(self, kernel: LaneKernel) -> LaneKernel:
        opened = self._journal.state.opened
        try:
            if opened is not None:
                await kernel.bind(opened.parameters)
        except BaseException:
            await kernel.end()
            raise
        return kernel

    async def _start(
        self,
        lane: Lane,
        policies: Policies,
        limits: LaneLimits,
        connectors: tuple[str, ...],
        writable: tuple[Path, ...],
    ) -> LaneKernel:
        gated = policies.lanes.gated
        for name in connectors:
            if name not in policies.connectors:
                raise KernelUnavailable(
                    f"no policy has the connector {name!r} any more",
                    "put it back into the policies",
                )
        env = {name: await self._ground.resolve(ref) for name, ref in limits.secrets.items()}
        rules = [rule_of(name, policies.connectors[name], lane) for name in connectors]
        grant = self._ground.proxy.grant(lane, rules)
        try:
            scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="runbookd-"))
        except OSError as error:
            grant.revoke()
            raise KernelUnavailable(
                f"no folder can be made for a kernel: {error.strerror}",
                f"look at {tempfile.gettempdir()}",
            ) from None
        try:
            walls = Walls(
                readable=limits.readable,
                writable=writable,
                hidden=self._ground.hidden,
                connect=(("127.0.0.1", grant.port), *await addresses(limits)),
                unix_sockets=gated.unix_sockets if lane == "gated" else False,
                signals=gated.signals if lane == "gated" else False,
                memory=limits.memory,
                processes=limits.processes,
                file_size=limits.output,
            )
            options = KernelOptions(
                kernelspec=self._runbook.kernelspec,
                lane=lane,
                scratch=scratch,
                walls=walls,
                env={**grant.env, **env},
                output_limit=limits.output,
            )
            kernel = await Kernel.start(options, self._ground.sandbox)
        except BaseException as error:
            words = _last_words(scratch)
            grant.revoke()
            shutil.rmtree(scratch, ignore_errors=True)
            if isinstance(error, KernelUnavailable) and words:
                raise KernelUnavailable(error.message + words, "mend what it names") from None
            raise
        made = LaneKernel(
            kernel,
            kernelspec=self._runbook.kernelspec,
            grant=grant,
            scratch=scratch,
            switchboard=self._ground.switchboard,
        )
        self._ground.switchboard.connect(grant.token, self._journal, made)
        return made


def _last_words(scratch: Path) -> str:
    """What a kernel printed last before it gave up; its folder goes, so it is told here."""
    for log in scratch.glob("*.log"):
        lines = log.read_text("utf-8", "replace").strip().splitlines()
        if lines:
            return f" (it said: {one_line(lines[-1])})"
    return ""


def check_connectors(runbook: Runbook, policies: Policies) -> None:
    """Refuse a runbook that uses a connector which no policy has.

    Raises:
        RunbookError: names the connector.
    """
    used = {*runbook.connectors, *(name for cell in runbook.cells for name in cell.connectors)}
    for name in sorted(used - set(policies.connectors)):
        known = ", ".join(sorted(policies.connectors)) or "none"
        raise RunbookError(
            f"{runbook.path.name} uses the connector {name!r}, which no policy has",
            f"add it to the policies; they have: {known}",
        )


def rule_of(name: str, connector: Connector, lane: Lane) -> ConnectorRule:
    """A connector of the policy as one lane may use it."""
    tls, credential, limits = connector.tls, connector.credential, connector.limits
    return ConnectorRule(
        name=name,
        url=connector.url,
        allow=connector.allowed(lane),
        headers={credential.header: credential.secret} if credential else {},
        scheme=credential.scheme if credential else None,
        ca=tls.ca if tls else None,
        cert=tls.cert if tls else None,
        key=tls.key if tls else None,
        connect_s=limits.connect,
        silence_s=limits.silence,
        total_s=limits.total,
        max_request=limits.request,
        max_answer=limits.answer,
    )


async def addresses(limits: LaneLimits) -> tuple[tuple[str, int], ...]:
    """The numeric addresses of the lane's endpoints, as they are now.

    Raises:
        KernelUnavailable: a name cannot be resolved.
    """
    found: list[tuple[str, int]] = []
    for endpoint in limits.endpoints:
        host, _, port = str(endpoint).rpartition(":")
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
        except OSError:
            raise KernelUnavailable(
                f"the endpoint {endpoint} cannot be resolved", "correct it in the policy"
            ) from None
        found += [(str(answer[4][0]), int(port)) for answer in answers]
    return tuple(dict.fromkeys(found))
