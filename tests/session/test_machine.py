"""Whatever people, clocks and crashes do, nothing gated runs without its approval, or twice.

The daemon of :mod:`tests.session.world` (everything from the API's calls to the record's bytes,
without kernels) is driven by hypothesis. Beside it a ledger is kept of what people really did, by
rules written down once more and apart from the product's; every source that reaches a gated kernel
is held against that.
"""

import asyncio
import contextlib
import math
import os
import shutil
import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import HealthCheck, settings, target
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from runbookd.api import (
    Command,
    Interrupt,
    RevokeRequest,
    RunCell,
    SkipCell,
    TakeDriver,
)
from runbookd.clock import parse_rfc3339
from runbookd.errors import RunbookdError
from runbookd.record.verify import verify
from tests.record.world import ManualClock
from tests.session.world import (
    FIX,
    LOOK,
    PEOPLE,
    RESTART,
    UIDS,
    Daemon,
    Ground,
    LogLanes,
    notebook,
    policies,
)

BOOK = notebook(LOOK, FIX, RESTART)
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Thousands of fsyncs are waited for: where nothing is to be lost, they are free."""
GATED = ("fix", "restart")
PERSON = {"bob-phone": "bob"}
"""Whose account it really is, where that is another name."""
COMMANDERS = {"alice", "bob", "dana", "lee"}
SOURCES = {"fix": FIX["source"], "restart": RESTART["source"]}


@dataclass
class Asked:
    """What really happened to a request, by this file's own rules."""

    cell: str
    inputs: dict[str, str]
    requester: str
    quorum: int
    rules: str
    deadline: float
    approved_by: set[str] = field(default_factory=set)
    dead: str = ""
    ran: int = 0


def _step(name: str, *values: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.tuples(st.just(name), *values)


WHICH = st.sampled_from([0, 0, 0, 1, 2])
RUN = _step("run", st.sampled_from([*GATED, "look"]), st.sampled_from(["driver", "driver", "bob"]))
APPROVE = _step(
    "click",
    WHICH,
    st.sampled_from(["dana", "lee"]),
    st.just("approve"),
    st.sampled_from(["slack", "console"]),
)
CLICK = _step(
    "click",
    WHICH,
    st.sampled_from(sorted(PEOPLE)),
    st.sampled_from(["approve", "approve", "deny"]),
    st.sampled_from(["slack", "console", "other digest", "guest"]),
)
ASIDE = st.one_of(
    RUN,
    CLICK,
    st.one_of(
        _step("revoke", WHICH),
        _step("skip", st.sampled_from(GATED)),
        _step("drive", st.sampled_from(["", "shift"]), st.sampled_from(["alice", "bob", "dana"])),
    ),
    st.one_of(
        _step("time_passes", st.sampled_from([1, 4, 14, 15])),
        _step("clock_is_set", st.sampled_from([-600, -15, -1, 1, 14])),
        _step("policies_change", st.integers(1, 2)),
        _step("sandbox_changes", st.sampled_from(["full", "none"])),
        _step("variable_changes", st.sampled_from(["40", "4000"])),
    ),
    st.one_of(
        _step("executions_hang"),
        _step("executions_go_on"),
        _step("interrupt"),
        _step("daemon_dies"),
        _step("machine_reboots"),
        _step("daemon_ends"),
    ),
)
STEPS = st.one_of(RUN, APPROVE, _step("properly", st.sampled_from(GATED), ASIDE), ASIDE)


@settings(
    max_examples=40,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
class Walk(RuleBasedStateMachine):
    """A session, some people, a clock that jumps, and a daemon that dies."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="runbookd-machine-", dir=MEMORY))
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.ledger: dict[str, Asked] = {}
        self.seen = 0
        self.homes = 0
        self.grounds: list[Ground] = []
        self.patches = contextlib.ExitStack()
        self.patches.enter_context(mock.patch("runbookd.daemon.sessions.Lanes", LogLanes))
        self.patches.enter_context(
            mock.patch("runbookd.daemon.service.os_user", lambda uid: UIDS[uid])
        )

    def wait(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @initialize(quorum=st.integers(1, 2), on_approval=st.sampled_from(["hold", "hold", "run"]))
    def begin(self, quorum: int, on_approval: str) -> None:
        self.quorum = quorum
        self.on_approval = on_approval
        self.daemon = self._daemon(self.folder / "home-0")
        self.wait(self.daemon.start())
        self.session = self.wait(self.daemon.open(BOOK))
        self.run("fix", "driver")

    def _daemon(self, home: Path) -> Daemon:
        self.grounds.append(Ground(self.clock))
        rules = policies(self.quorum, on_approval=self.on_approval)
        return Daemon(home, clock=self.clock, ground=self.grounds[-1], rules=rules)

    @property
    def ground(self) -> Ground:
        return self.grounds[-1]

    @property
    def state(self) -> Any:
        return self.daemon.state(self.session)

    @rule(step=STEPS)
    def next(self, step: tuple[Any, ...]) -> None:
        """One rule for all: of many, hypothesis leaves most out of a run, and little happens."""
        self.step(step)

    # ---- what people do ----------------------------------------------------------------------

    def _command(self, command: Command, who: str) -> Any:
        """Give a command, and let everything happen that comes of it."""
        try:
            return self.wait(self._and_settle(self.daemon.command(self.session, command, who)))
        except RunbookdError:
            return None

    async def _and_settle(self, work: Any) -> Any:
        try:
            return await work
        finally:
            await self._settle()

    async def _settle(self) -> None:
        """Until nothing moves any more but what is held."""
        quiet = 0
        seq = -1
        while quiet < 3:
            await asyncio.sleep(0.002)
            running = self.state.running is not None and not self.ground.holding
            quiet = 0 if running or self.state.seq != seq else quiet + 1
            seq = self.state.seq

    def run(self, cell: str, who: str) -> None:
        self._command(RunCell(cell=cell), self.state.driver if who == "driver" else who)
        self._enter_new_requests()

    def properly(self, cell: str, between: tuple[Any, ...]) -> None:
        """As it should go: asked, approved by enough, run; with something else in between."""
        self.run(cell, "driver")
        for who in ("dana", "lee"):
            self.click(0, who, "approve", "console")
        self.step(between)
        self.run(cell, "driver")
        self.run(cell, "driver")

    def step(self, step: tuple[Any, ...]) -> None:
        name, *values = step
        getattr(self, name)(*values)

    def _enter_new_requests(self) -> None:
        self.nothing_gated_ran_without_its_approval()
        for name, asked in self.state.requests.items():
            if name in self.ledger:
                continue
            self._kill_open_request_of(asked.cell, "superseded")
            self.ledger[name] = Asked(
                cell=asked.cell,
                inputs=dict(self.ground.values) if asked.cell == "fix" else {},
                requester=PERSON.get(asked.requester, asked.requester),
                quorum=self.quorum,
                rules=self.daemon.rules.digest,
                deadline=self._deadline(name),
            )

    def _kill_open_request_of(self, cell: str, why: str) -> None:
        for other in self.ledger.values():
            if other.cell == cell and not other.ran:
                other.dead = other.dead or why

    def _deadline(self, request: str) -> float:
        """When a request is over by the clock that does not jump."""
        left = parse_rfc3339(self.state.requests[request].expires_at) - self.clock.time
        return self.clock.mono + left.total_seconds() * 1e9

    def drive(self, reason: str, who: str) -> None:
        self._command(TakeDriver(reason=reason), who)

    def skip(self, cell: str) -> None:
        done = self._command(SkipCell(cell=cell, reason="known"), self.state.driver)
        if done is not None:
            self._kill_open_request_of(cell, "skipped")

    def revoke(self, which: int) -> None:
        request = self._request(which)
        if request is None:
            return
        done = self._command(RevokeRequest(request=request), self.state.driver)
        if done is not None:
            self.ledger[request].dead = "revoked"

    def _request(self, which: int) -> str | None:
        """The latest request but ``which``; None when there are not so many."""
        return [*reversed(self.ledger)][which] if which < len(self.ledger) else None

    def click(self, which: int, who: str, decision: str, way: str) -> None:
        request = self._request(which)
        if request is None:
            return
        self._enter_decision(request, who, decision, way)
        if way == "console":
            work: Any = self.daemon.console(request, who, decision, "because")
        elif way == "other digest":
            work = self.daemon.slack(self.session, request, who, decision, digest="0" * 64)
        else:
            problems = ("a guest",) if way == "guest" else ()
            work = self.daemon.slack(self.session, request, who, decision, problems=problems)
        with contextlib.suppress(RunbookdError):
            self.wait(self._and_settle(work))
        self.nothing_gated_ran_without_its_approval()

    def _enter_decision(self, request: str, who: str, decision: str, way: str) -> None:
        """What this act is worth, whatever the product makes of it."""
        asked = self.ledger[request]
        person = PERSON.get(who, who)
        entitled = person in COMMANDERS and person != asked.requester
        on_the_request = way in {"slack", "console"}
        if not (entitled and on_the_request) or asked.dead or self._is_late(request):
            return
        if decision == "approve":
            asked.approved_by.add(person)
        elif len(asked.approved_by) < asked.quorum:
            asked.dead = "denied"

    def _is_late(self, request: str) -> bool:
        expiry = parse_rfc3339(self.state.requests[request].expires_at)
        return self.clock.time >= expiry or self.clock.mono >= self.ledger[request].deadline

    # ---- what else happens -------------------------------------------------------------------

    def time_passes(self, minutes: int) -> None:
        self.clock.forward(minutes=minutes)

    def clock_is_set(self, minutes: int) -> None:
        self.clock.time += timedelta(minutes=minutes)

    def policies_change(self, quorum: int) -> None:
        self.quorum = quorum
        self.daemon.rules = policies(quorum, on_approval=self.on_approval)

    def sandbox_changes(self, level: str) -> None:
        self.ground.level = level

    def variable_changes(self, value: str) -> None:
        self.ground.values["target"] = value

    def executions_hang(self) -> None:
        self.ground.hold()

    def executions_go_on(self) -> None:
        self.ground.release()
        self.wait(self._settle())

    def interrupt(self) -> None:
        self._command(Interrupt(), self.state.driver)

    def daemon_dies(self) -> None:
        self.homes += 1
        home = self.folder / f"home-{self.homes}"
        self.wait(self.daemon.crashed(home))
        self._go_on(home)

    def machine_reboots(self) -> None:
        """The clock that does not jump begins anew, and only the other is left to go by."""
        self.homes += 1
        home = self.folder / f"home-{self.homes}"
        self.wait(self.daemon.crashed(home))
        self.clock.mono, self.clock.name = 1_000, f"boot-{self.homes}"
        for asked in self.ledger.values():
            asked.deadline = math.inf
        self._go_on(home)

    def daemon_ends(self) -> None:
        self.wait(self.daemon.end())
        self._go_on(self.daemon.home)

    def _go_on(self, home: Path) -> None:
        self.daemon = self._daemon(home)
        self.wait(self.daemon.start())
        self.wait(self._settle())

    # ---- what must hold ----------------------------------------------------------------------

    @invariant()
    def nothing_gated_ran_without_its_approval(self) -> None:
        ran = [one for ground in self.grounds for one in ground.gated]
        new, self.seen = ran[self.seen :], len(ran)
        for one in new:
            request = one.claim.request
            asked = self.ledger[request]
            asked.ran += 1
            assert asked.ran == 1, "two executions for one approval"
            assert one.source == SOURCES[asked.cell] == one.claim.document.source
            assert one.bound == asked.inputs, "what was shown is what is bound"
            assert not asked.dead, f"it was {asked.dead}"
            assert asked.requester not in asked.approved_by
            assert len(asked.approved_by) >= asked.quorum
            assert asked.rules == self.daemon.rules.digest, "the policies are still those"
            expiry = parse_rfc3339(self.state.requests[request].expires_at)
            assert one.at < expiry
            assert one.mono < asked.deadline
            assert one.kernel.level == one.claim.document.may_touch.sandbox

    @invariant()
    def nothing_ran_in_the_read_only_lane_without_walls(self) -> None:
        for ground in self.grounds:
            for one in ground.ran:
                if one.lane == "read-only":
                    assert one.source == LOOK["source"]
                    assert one.kernel.level == "full"

    @invariant()
    def kernels_do_not_pile_up(self) -> None:
        if not hasattr(self, "daemon"):
            return
        assert len(self.ground.alive) <= 2
        assert all(not ground.alive for ground in self.grounds[:-1])

    def teardown(self) -> None:
        try:
            if hasattr(self, "daemon"):
                self.wait(self.daemon.end())
                target(float(self.seen), label="gated executions")
                report = verify(self.daemon.home / "sessions" / self.session)
                assert report.ok, "\n".join(report.lines())
        finally:
            self.loop.close()
            self.patches.close()
            shutil.rmtree(self.folder)


TestWalk = Walk.TestCase
