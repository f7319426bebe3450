"""A kernel in its lane: started inside the sandbox, spoken to, interrupted, and ended.

One :class:`Kernel` is one process tree. It runs one source at a time. Whatever happens to it, an
execution ends: with its answer, at its timeout (interrupt, then kill), or when the process dies.
"""

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Literal

import structlog

from runbookd.errors import CommandRefused, KernelUnavailable
from runbookd.events import Lane, SandboxLevel
from runbookd.kernels.environment import prepare_scratch
from runbookd.kernels.execution import Execution, Outcome
from runbookd.kernels.launch import KernelOptions, how_it_ended, launch
from runbookd.kernels.outputs import KernelOutput
from runbookd.kernels.sandbox import Sandbox, kill_tree
from runbookd.kernels.specs import Kernelspec, find_kernelspec
from runbookd.kernels.values import (
    bash_answer,
    bash_bind,
    bash_read,
    canonical_text,
    check_names,
    python_answer,
    python_bind,
    python_read,
)
from runbookd.kernels.wire import Message, Wire
from runbookd.model import JsonText

__all__ = ["Kernel", "KernelOptions", "KernelOutput", "OnOutput", "Outcome", "Settled"]

OnOutput = Callable[[KernelOutput], Awaitable[None]]
Settled = Callable[[], Awaitable[None]]

_log = structlog.get_logger(__name__)

_NOTICE_S = 0.1
_LAST_WORDS_S = 0.15
_ASK_AGAIN_S = 0.25
_ASK_ANSWERING_AGAIN_S = 0.02
_IDLE_LOST_S = 5.0
_ORDERLY_S = 1.0
_UNKILLABLE_S = 5.0
_VALUES_TIMEOUT_S = 20.0
# A message may always be so long, however little of it is kept: it is cut, and not left out.
_ALWAYS_PARSED = 4 * 1024 * 1024


async def _nothing() -> None:
    """Nothing is left to do once outputs were handed over."""


class Kernel:
    """A running kernel. Made by :meth:`start`; always to be ended by :meth:`end`.

    Attributes:
        id: names this kernel in the record.
        lane: the lane it serves.
        kernelspec: the name of the kernelspec it was started from.
        language: ``python``, ``bash``, or what the kernelspec says.
        level: what kind of sandbox holds it.
        log_path: the file with what the kernel process itself printed, in scratch.
        why: in words how the process ended, once it has.
    """

    def __init__(
        self,
        options: KernelOptions,
        spec: Kernelspec,
        sandbox: Sandbox,
        wire: Wire,
        process: subprocess.Popen[bytes],
        id: str,  # noqa: A002
    ) -> None:
        self.id = id
        self.lane: Lane = options.lane
        self.kernelspec = spec.name
        self.language = spec.language
        self.level: SandboxLevel = sandbox.level
        self.log_path = options.scratch / f"{id}.log"
        self._died = asyncio.Event()
        self.why = ""
        self._options = options
        self._spec = spec
        self._wire = wire
        self._process = process
        self._gone = asyncio.Event()
        self._killed_at: float | None = None
        self._kill_reason = ""
        self._ending = False
        self._ended = False
        self._end_lock = asyncio.Lock()
        self._current: Execution | None = None
        self._info_requests: set[str] = set()
        self._shell_heard = asyncio.Event()
        self._iopub_heard = asyncio.Event()
        self._tender = asyncio.create_task(self._tend(), name=f"kernel {id}")

    @classmethod
    async def start(cls, options: KernelOptions, sandbox: Sandbox) -> "Kernel":
        """Start a kernel inside ``sandbox`` and wait until it answers.

        Raises:
            KernelUnavailable: no such kernelspec, the sandbox refused, or no answer in time.
        """
        spec = find_kernelspec(options.kernelspec)
        prepare_scratch(options.scratch)
        try:
            longest = max(options.output_limit, _ALWAYS_PARSED)
            wire = Wire(options.scratch, curve=spec.curve, longest=longest)
        except OSError as error:
            raise _no_room(options, error) from None
        try:
            wire.write_file()
            wire.connect()
            id = f"k{secrets.token_hex(4)}"  # noqa: A001
            process = launch(options, spec, sandbox, wire, id)
        except OSError as error:
            wire.close()
            raise _no_room(options, error) from None
        except BaseException:
            wire.close()
            raise
        kernel = cls(options, spec, sandbox, wire, process, id)
        try:
            await kernel._become_ready()
        except BaseException:
            await kernel.end()
            raise
        wire.forget_file()
        return kernel

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return not self._gone.is_set() and self._process.poll() is None

    @property
    def busy(self) -> bool:
        """Whether a source is running."""
        return self._current is not None

    async def died(self) -> str:
        """Wait until the process is gone although nobody called :meth:`end`; says how it ended.

        Noticed within half a second. A kernel that was killed after a timeout has died, too.
        """
        await self._died.wait()
        return self.why

    async def execute(
        self,
        source: str,
        on_output: OnOutput,
        timeout_s: float = 60.0,
        *,
        settled: Settled = _nothing,
    ) -> Outcome:
        """Run ``source`` and wait for its end.

        All that the kernel puts out meanwhile goes to ``on_output``, in order, before this returns.
        Whenever everything that is there has been handed over, ``settled`` is called: who gathers
        outputs lets go of them then.

        At ``timeout_s`` seconds the kernel is interrupted, and killed when that does not help
        within the grace period. If this call is cancelled or ``on_output`` raises, nobody can tell
        any more what the source does: the kernel is killed and the exception goes on.

        Raises:
            KernelUnavailable: the kernel is not running; nothing was sent.
            CommandRefused: another source is running; nothing was sent.
        """
        self._check_free()
        execution = self._begin(self._wire.ask_execute(source))
        await self._follow(execution, on_output, timeout_s, settled)
        return execution.outcome(timeout_s, self.why)

    async def interrupt(self) -> None:
        """Interrupt what runs, if anything; it is killed if it goes on beyond the grace period."""
        if self._current is not None:
            self._stop(self._current, "interrupted")

    async def read(self, names: Iterable[str]) -> dict[str, JsonText]:
        """The values of variables as canonical JSON text, at most 64 KiB each.

        Raises:
            RunbookError: a name that is none, or a language that cannot hand over values.
            CommandRefused: no such variable, its value is not JSON, or the kernel is busy.
            KernelUnavailable: the kernel is gone, or did not answer.
        """
        names = check_names(names, self.language)
        if not names:
            return {}
        self._check_free()
        if self.language == "python":
            return await self._read_python(names)
        return await self._read_bash(names)

    async def bind(self, values: Mapping[str, JsonText]) -> None:
        """Set variables to JSON values.

        Raises: as :meth:`read`; CommandRefused also for a value that the language cannot hold.
        """
        names = check_names(values, self.language)
        values = {name: canonical_text(values[name], name) for name in names}
        if not values:
            return
        self._check_free()
        source = python_bind(values) if self.language == "python" else bash_bind(values)
        reply, _ = await self._aside(source, silent=self.language == "python")
        if reply.get("status") != "ok":
            raise KernelUnavailable("the kernel did not take its inputs", f"see {self.log_path}")

    async def end(self) -> None:
        """End the kernel and everything it started, and remove its traces outside scratch.

        A kernel that is at rest is asked first. May be called at any time and more than once.
        """
        async with self._end_lock:
            if self._ended:
                return
            self._ending = True
            try:
                if self.alive and self._iopub_heard.is_set() and not self.busy:
                    self._wire.ask_shutdown()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_ORDERLY_S):
                            await self._gone.wait()
            finally:
                # One that died by itself is not to look as if somebody had stopped it.
                ended_by_us = not self._died.is_set()
                if self._current is not None and self._current.stopped is None and ended_by_us:
                    self._current.stopped = "interrupted"
                self._kill("it was ended")
                try:
                    await self._tender
                except Exception as error:  # noqa: BLE001 - the kernel is gone; its end is not at stake
                    _log.error("kernel.tending_failed", kernel=self.id, error=repr(error))
                finally:
                    self._wire.close()
                    self._ended = True

    # --- one execution ------------------------------------------------------------------------

    def _check_free(self) -> None:
        if self._ending or not self.alive:
            raise KernelUnavailable(
                f"the {self.lane} kernel is not running" + (f": {self.why}" if self.why else ""),
                "start it anew",
            )
        if self._current is not None:
            raise CommandRefused(
                f"the {self.lane} kernel is busy", "wait until the cell has ended, or interrupt it"
            )

    def _begin(self, request: str, limit: int | None = None) -> Execution:
        remedy = f"`output` of lanes.{self.lane} in the policy is the limit"
        self._current = Execution(request, limit or self._options.output_limit, remedy)
        return self._current

    async def _follow(
        self,
        execution: Execution,
        on_output: OnOutput,
        timeout_s: float,
        settled: Settled = _nothing,
    ) -> None:
        """Deliver outputs until the execution has ended, whichever way."""
        # Beside the delivery, which may be slow: the time limit holds all the same.
        clock = asyncio.create_task(self._limit_time(execution, execution.started + timeout_s))
        try:
            while not self._is_over(execution):
                execution.changed.clear()
                outputs = execution.outputs.take(time.monotonic())
                for output in outputs:
                    await on_output(output)
                if outputs:
                    await settled()
                await self._step(execution)
            for output in execution.outputs.flush():
                await on_output(output)
            await settled()
        except BaseException:
            if not self._is_over(execution):
                self._kill("nobody could follow what its cell did")
            raise
        finally:
            clock.cancel()
            self._current = None

    async def _limit_time(self, execution: Execution, deadline: float) -> None:
        """Interrupt at the deadline; kill what does not stop, whoever interrupted it."""
        await _wait(execution.stopping, deadline)
        if self._is_over(execution):
            return
        self._stop(execution, "timeout", again=False)
        await asyncio.sleep(self._options.grace_s)
        if not self._is_over(execution):
            self._kill("its cell did not stop when it was interrupted")

    def _is_over(self, execution: Execution) -> bool:
        return execution.ended is not None or self._gone.is_set()

    async def _step(self, execution: Execution) -> None:
        """Act on what is due now, then wait for the next thing to happen."""
        now = time.monotonic()
        wake = [execution.outputs.due]
        if execution.reply is not None:
            # The end of the output got lost; what came is kept, and the loss is said.
            if now - execution.heard > _IDLE_LOST_S:
                note = {"name": "stderr", "text": "[runbookd: some output may be missing]\n"}
                execution.outputs.add("stream", note, now)
                execution.idle = True
                execution.finish_part()
                return
            wake.append(execution.heard + _IDLE_LOST_S)
        await _wait(execution.changed, min((at for at in wake if at is not None), default=None))

    def _stop(
        self, execution: Execution, why: Literal["timeout", "interrupted"], *, again: bool = True
    ) -> None:
        """Interrupt an execution; one that was interrupted already only if ``again``."""
        if execution.stopped is None:
            execution.stopped = why
            execution.stopping.set()
        elif not again:
            return
        self._send_interrupt()
        execution.changed.set()

    def _send_interrupt(self) -> None:
        if self._spec.interrupt_mode == "message":
            self._wire.ask_interrupt()
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            group = os.getpgid(self._process.pid)
            if group == os.getpgrp():
                self._process.send_signal(signal.SIGINT)
            else:
                os.killpg(group, signal.SIGINT)

    # --- values -------------------------------------------------------------------------------

    async def _aside(
        self, source: str, *, silent: bool, expressions: Mapping[str, str] | None = None
    ) -> tuple[Mapping[str, object], str]:
        """Run a source of our own; returns the reply and what it printed."""
        printed: list[str] = []

        async def keep(output: KernelOutput) -> None:
            text = output.mimes.get("text/plain")
            if output.channel == "stdout" and isinstance(text, str):
                printed.append(text)

        execution = self._begin(
            self._wire.ask_execute(source, silent=silent, expressions=expressions)
        )
        await self._follow(execution, keep, _VALUES_TIMEOUT_S)
        if execution.ended is None or execution.stopped is not None or execution.reply is None:
            raise KernelUnavailable(
                f"the {self.lane} kernel did not hand over its variables", "start it anew"
            )
        return execution.reply, "".join(printed)

    async def _read_python(self, names: tuple[str, ...]) -> dict[str, JsonText]:
        reply, _ = await self._aside("", silent=True, expressions=python_read(names))
        answers = reply.get("user_expressions")
        found = answers if isinstance(answers, Mapping) else {}
        return {name: python_answer(name, found.get(name)) for name in names}

    async def _read_bash(self, names: tuple[str, ...]) -> dict[str, JsonText]:
        mark = secrets.token_hex(8)
        _, printed = await self._aside(bash_read(names, mark), silent=False)
        return {name: bash_answer(name, mark, printed) for name in names}

    # --- the process --------------------------------------------------------------------------

    async def _become_ready(self) -> None:
        """Wait for an answer on the shell channel and a message on iopub.

        The kernel publishes into the void until our subscription has reached it, so we ask again
        until both have been heard: soon again once it answers at all.
        """
        deadline = time.monotonic() + self._options.start_timeout_s
        while not (self._shell_heard.is_set() and self._iopub_heard.is_set()):
            if self._gone.is_set():
                raise KernelUnavailable(
                    f"the kernel {self._spec.name!r} ended at its start: {self.why}",
                    f"see {self.log_path}",
                )
            if time.monotonic() > deadline:
                raise KernelUnavailable(
                    f"the kernel {self._spec.name!r} did not answer within "
                    f"{self._options.start_timeout_s:g} s",
                    f"see {self.log_path}",
                )
            self._info_requests.add(self._wire.ask_info())
            await _wait(self._shell_heard, time.monotonic() + _ASK_AGAIN_S)
            if self._shell_heard.is_set():
                await _wait(self._iopub_heard, time.monotonic() + _ASK_ANSWERING_AGAIN_S)

    async def _tend(self) -> None:
        """Read what the kernel says, and watch its process, until it is gone."""
        try:
            async with asyncio.TaskGroup() as group:
                readers = [
                    group.create_task(self._wire.read("shell", self._on_shell)),
                    group.create_task(self._wire.read("iopub", self._on_iopub)),
                ]
                await self._watch()
                for reader in readers:
                    reader.cancel()
        finally:
            # Also when reading itself broke: a kernel that nobody hears must not go on.
            self._process.kill()
            try:
                await asyncio.to_thread(kill_tree, self._process)
            finally:
                self._declare_gone()

    def _declare_gone(self) -> None:
        self._gone.set()
        if not self._ending:
            self._died.set()
        if self._current is not None:
            self._current.changed.set()

    async def _watch(self) -> None:
        while self._process.poll() is None:
            if self._killed_at and time.monotonic() > self._killed_at + _UNKILLABLE_S:
                break
            await asyncio.sleep(_NOTICE_S)
        # What the kernel said last may still be on its way.
        if not self._ending:
            await asyncio.sleep(_LAST_WORDS_S)
        self.why = self._kill_reason or how_it_ended(self._process.returncode)

    def _kill(self, why: str) -> None:
        """Kill the process at once; what it started follows when :meth:`_tend` sees its end."""
        if self._killed_at is None:
            self._killed_at = time.monotonic()
            self._kill_reason = why if self._process.poll() is None else ""
            self._process.kill()

    def _on_shell(self, message: Message) -> None:
        request = message["parent_header"].get("msg_id")
        if request in self._info_requests:
            self._shell_heard.set()
        current = self._current
        if current is not None and request == current.request:
            current.reply = _reply(message)
            current.heard = time.monotonic()
            current.finish_part()

    def _on_iopub(self, message: Message) -> None:
        self._iopub_heard.set()
        current = self._current
        if current is None:
            return
        kind, content = message["header"]["msg_type"], message["content"]
        now = current.heard = time.monotonic()
        if kind == "status":
            mine = message["parent_header"].get("msg_id") == current.request
            if mine and content["execution_state"] == "idle":
                current.idle = True
                current.finish_part()
            return
        # Threads of earlier cells print too; it is put down to the cell that runs now.
        due = current.outputs.due
        if "too_long" in message:
            current.outputs.leave_out(message["too_long"])
        else:
            current.outputs.add(kind, content, now)
        if current.outputs.due != due:
            current.changed.set()


def _reply(message: Message) -> Mapping[str, object]:
    """What a reply says. One that is too long is an error: nobody looked whether it was one."""
    if "too_long" not in message:
        content: Mapping[str, object] = message["content"]
        return content
    said = f"the kernel's answer of {message['too_long']} bytes is too long to be taken"
    return {"status": "error", "evalue": said}


def _no_room(options: KernelOptions, error: OSError) -> KernelUnavailable:
    return KernelUnavailable(
        f"a kernel cannot be prepared in {options.scratch} ({error.strerror})", "make room there"
    )


async def _wait(event: asyncio.Event, until: float | None) -> None:
    """Wait for the event, at most until a time of the monotonic clock."""
    with contextlib.suppress(TimeoutError):
        timeout = None if until is None else max(0.0, until - time.monotonic())
        async with asyncio.timeout(timeout):
            await event.wait()
