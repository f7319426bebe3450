"""Runs sources in kernels of either lane and records what they say and how they end."""

import asyncio

from runbookd.errors import KernelUnavailable, RecordUnwritable, RunbookdError
from runbookd.events import (
    AdhocFinished,
    ApprovalFinished,
    ApprovalFinishedData,
    CellFinished,
    FinishedData,
    KernelEnded,
    KernelGoneData,
    KernelStarted,
    KernelStartedData,
)
from runbookd.kernels.lane import explain
from runbookd.record.blobs import BlobStore
from runbookd.record.redaction import Redactor
from runbookd.session.gate import Claim
from runbookd.session.journal import Journal
from runbookd.session.lanes import LaneKernel, Lanes
from runbookd.session.outputs import OutputSink
from runbookd.session.readonly import ReadOnlyLane

_MAX_OUTPUTS = 256 * 1024
"""Characters of all values together that are handed back: more would not fit into a line."""

_MAX_ERROR = 4096
"""Characters of an error in the record; the whole of it is among the outputs."""


class Executions:
    """The executions of one session; the engine sees to it that there is one at a time."""

    def __init__(
        self,
        *,
        journal: Journal,
        blobs: BlobStore,
        redactor: Redactor,
        lanes: Lanes,
        read_only: ReadOnlyLane,
    ) -> None:
        self._journal = journal
        self._blobs = blobs
        self._redactor = redactor
        self._lanes = lanes
        self._read_only = read_only
        self._kernel: LaneKernel | None = None
        self._interrupted: str | None = None

    async def interrupt(self, execution: str) -> None:
        """Interrupt ``execution``, even while its kernel is still starting."""
        self._interrupted = execution
        if self._kernel is not None:
            await self._kernel.interrupt()

    async def read_only(
        self,
        tasks: asyncio.TaskGroup,
        execution: str,
        cell: str | None,
        source: str,
        timeout_s: int,
    ) -> None:
        """Run a source whose start is recorded in the read-only lane, and record its end.

        When this is cancelled the end stays open: the next start of the daemon then says that
        the outcome is unknown.
        """
        try:
            kernel = await self._read_only.kernel(tasks)
            self._refuse_without_walls(kernel)
            finished = await self._run(kernel, execution, cell, None, source, timeout_s)
        except RecordUnwritable:
            raise
        except RunbookdError as error:
            finished = _never_ran(execution, error)
        ended = AdhocFinished if cell is None else CellFinished
        await self._journal.append(ended(cell=cell, data=finished))

    def _refuse_without_walls(self, kernel: LaneKernel) -> None:
        """The session may have been opened where a sandbox was in force, and gone on elsewhere."""
        opened = self._journal.state.opened
        if kernel.level == "none" and not (opened is not None and opened.unenforced):
            raise KernelUnavailable(
                "no sandbox is in force here any more, so nothing runs without an approval",
                "see `runbookd doctor`, then open a new session",
            )

    async def gated(self, tasks: asyncio.TaskGroup, claim: Claim) -> None:
        """Run exactly what ``claim`` says in a fresh kernel, and record its end."""
        try:
            kernel = await self._lanes.start_gated(claim)
        except RecordUnwritable:
            raise
        except RunbookdError as error:
            await self._finish(claim, _never_ran(claim.execution, error))
            return
        try:
            started = KernelStartedData(
                kernel=kernel.id, lane="gated", kernelspec=kernel.kernelspec, level=kernel.level
            )
            await self._journal.append(
                KernelStarted(cell=claim.cell, request=claim.request, data=started)
            )
            finished = await self._run_document(kernel, claim)
        finally:
            await kernel.end()
        if finished.outputs:
            finished = await self._handed_back(tasks, finished)
        gone = KernelGoneData(kernel=kernel.id, lane="gated", why="one kernel an execution")
        await self._finish(
            claim, finished, KernelEnded(cell=claim.cell, request=claim.request, data=gone)
        )

    async def _handed_back(self, tasks: asyncio.TaskGroup, finished: FinishedData) -> FinishedData:
        """Bind the outputs in the read-only kernel, before the end is recorded: nothing else may
        use that kernel until then."""
        try:
            kernel = await self._read_only.kernel(tasks)
            await kernel.bind(finished.outputs)
        except RecordUnwritable:
            raise
        except RunbookdError as error:
            told = f"it ran, but the read-only kernel did not take its outputs: {error}"
            return finished.model_copy(update={"error": told})
        return finished

    async def _run_document(self, kernel: LaneKernel, claim: Claim) -> FinishedData:
        document = claim.document
        try:
            await kernel.bind({**document.parameters, **document.inputs})
            finished = await self._run(
                kernel,
                claim.execution,
                claim.cell,
                claim.request,
                document.source,
                document.timeout_s,
            )
        except RecordUnwritable:
            raise
        except RunbookdError as error:
            return _never_ran(claim.execution, error)
        if finished.status != "ok" or not document.outputs:
            return finished
        try:
            outputs = await kernel.read(tuple(document.outputs))
        except RecordUnwritable:
            raise
        except RunbookdError as error:
            told = f"it ran, but its outputs cannot be read: {error}"
            return finished.model_copy(update={"error": told, "status": "error"})
        if sum(map(len, outputs.values())) > _MAX_OUTPUTS:
            told = f"it ran, but its outputs are too long: over {_MAX_OUTPUTS // 1024} KiB"
            return finished.model_copy(update={"error": told, "status": "error"})
        return finished.model_copy(update={"outputs": outputs})

    async def _finish(self, claim: Claim, finished: FinishedData, *more: KernelEnded) -> None:
        status = ApprovalFinishedData(status="done" if finished.status == "ok" else "failed")
        await self._journal.append(
            CellFinished(cell=claim.cell, request=claim.request, data=finished),
            ApprovalFinished(cell=claim.cell, request=claim.request, data=status),
            *more,
        )
        await self._journal.checkpoint()

    async def _run(
        self,
        kernel: LaneKernel,
        execution: str,
        cell: str | None,
        request: str | None,
        source: str,
        timeout_s: int,
    ) -> FinishedData:
        if self._interrupted == execution:
            return FinishedData(
                execution=execution,
                status="interrupted",
                duration_ms=0,
                error="interrupted before anything ran",
            )
        sink = OutputSink(
            self._journal,
            self._blobs,
            self._redactor,
            execution=execution,
            cell=cell,
            request=request,
        )
        kernel.attribute(execution, cell, request)
        self._kernel = kernel
        try:
            outcome = await kernel.execute(
                source, sink.take, settled=sink.settle, timeout_s=timeout_s
            )
        finally:
            self._kernel = None
        await sink.finish()
        error = self._redactor.beginning(outcome.error, _MAX_ERROR)
        return FinishedData(
            execution=execution,
            status=outcome.status,
            duration_ms=outcome.duration_ms,
            error=error,
            lane_hint=self._hint(kernel, error) if error else "",
        )

    def _hint(self, kernel: LaneKernel, error: str) -> str:
        """What the lane has to do with an error, for people."""
        if kernel.lane != "read-only":
            return explain(error, kernel.lane)
        if error.startswith("NameError") and self._journal.state.kernels_lost:
            return (
                "The read-only kernel was started anew meanwhile, and what earlier steps had set "
                "went with the old one; run those steps again"
            )
        refusals = [f"runbookd: {refusal}" for refusal in kernel.refusals]
        return explain("\n".join([error, *refusals]))


def _never_ran(execution: str, error: RunbookdError) -> FinishedData:
    return FinishedData(execution=execution, status="died", duration_ms=0, error=str(error))
