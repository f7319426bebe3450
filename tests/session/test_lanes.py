"""What kernels are given, as far as it is decided before one is started."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runbookd.errors import KernelUnavailable, RecordUnwritable, RunbookError
from runbookd.events import ConnectorData
from runbookd.policy.model import Connector, ConnectorLimits, Credential, LaneLimits
from runbookd.runbook.notebook import read_runbook
from runbookd.session import gate
from runbookd.session.lanes import Lanes, Switchboard, addresses, check_connectors, rule_of
from tests.session.test_gate import document
from tests.session.world import FIX, notebook, policies


def runbook(folder: Path, **about: Any) -> Any:
    path = folder / "checkout.ipynb"
    path.write_bytes(notebook(FIX, **about))
    return read_runbook(path)


def claimed(**changes: Any) -> gate.Claim:
    return gate.Claim("r-1", "fix", "x-1", document(**changes), gate._MINTED)


class Started(Exception):
    """A kernel would have been started."""


def lanes(folder: Path, rules: Any, monkeypatch: pytest.MonkeyPatch) -> Lanes:
    ground: Any = SimpleNamespace(sandbox=SimpleNamespace(level="full"))
    made = Lanes(None, runbook(folder), ground, lambda: rules)  # type: ignore[arg-type]

    async def start(*args: Any) -> Any:
        raise Started(args)

    monkeypatch.setattr(made, "_start", start)
    return made


async def test_a_gated_kernel_starts_under_the_very_policies_and_kernelspec_of_its_approval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lanes(tmp_path, policies(1), monkeypatch)
    kernel = made.terms.kernelspec_digest
    with pytest.raises(Started):
        await made.start_gated(claimed(policy_digest=policies(1).digest, kernelspec_digest=kernel))
    with pytest.raises(KernelUnavailable, match="policies changed"):
        await made.start_gated(claimed(policy_digest=policies(2).digest, kernelspec_digest=kernel))
    with pytest.raises(KernelUnavailable, match="kernel changed"):
        await made.start_gated(
            claimed(policy_digest=policies(1).digest, kernelspec_digest="0" * 64)
        )


async def test_a_gated_kernel_gets_the_connectors_of_its_approval_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lanes(tmp_path, policies(1), monkeypatch)
    about = {
        "policy_digest": policies(1).digest,
        "kernelspec_digest": made.terms.kernelspec_digest,
    }
    with pytest.raises(Started) as told:
        await made.start_gated(claimed(**about, connectors=()))
    lane, _, limits, connectors, writable = told.value.args[0]
    assert (lane, connectors) == ("gated", ())
    assert limits == policies(1).lanes.gated
    assert [str(path) for path in writable] == ["/var/log/checkout"]


def test_a_runbook_that_uses_an_unknown_connector_is_refused(tmp_path: Path) -> None:
    check_connectors(runbook(tmp_path, connectors=["checkout"]), policies(1))
    with pytest.raises(RunbookError, match=r"checkout\.ipynb uses the connector 'kafka'") as told:
        check_connectors(runbook(tmp_path, connectors=["checkout", "kafka"]), policies(1))
    assert "they have: checkout" in told.value.hint
    cell = {**FIX, "runbookd": {**FIX["runbookd"], "connectors": ["kafka"]}}
    path = tmp_path / "cell.ipynb"
    path.write_bytes(notebook(cell, connectors=["checkout"]))
    with pytest.raises(RunbookError, match="kafka"):
        check_connectors(read_runbook(path), policies(1))


def test_a_connector_allows_each_lane_its_own_requests() -> None:
    made = Connector(
        url="https://pool.internal",
        credential=Credential(header="Authorization", secret="env:POOL_TOKEN"),
        **{"read-only": ("GET /*",)},
        gated=("POST /pool",),
    )
    read_only, gated = rule_of("pool", made, "read-only"), rule_of("pool", made, "gated")
    assert (read_only.allow, gated.allow) == (("GET /*",), ("POST /pool",))
    assert gated.headers == {"Authorization": "env:POOL_TOKEN"}, "a reference, not the secret"
    basic = made.model_copy(
        update={
            "credential": Credential(scheme="basic", secret="env:POOL"),
            "limits": ConnectorLimits(silence="5m", request="1KiB"),
        }
    )
    limited = rule_of("pool", basic, "gated")
    assert (limited.headers, limited.scheme) == ({"Authorization": "env:POOL"}, "basic")
    assert (limited.silence_s, limited.max_request, limited.max_answer) == (300, 1024, 2**30)
    assert rule_of("bare", Connector(url="https://pool.internal"), "gated").allow == ()


async def test_endpoints_become_addresses_or_nothing_starts() -> None:
    limits = LaneLimits(endpoints=("127.0.0.1:5432", "127.0.0.1:5432"))
    assert await addresses(limits) == (("127.0.0.1", 5432),)
    unknown = LaneLimits(endpoints=("nowhere.invalid:5432",))
    with pytest.raises(KernelUnavailable, match=r"nowhere\.invalid:5432 cannot be resolved"):
        await addresses(unknown)


async def test_a_connector_that_was_taken_out_of_the_policies_since_starts_no_kernel(
    tmp_path: Path,
) -> None:
    rules = policies(1).model_copy(update={"connectors": {}})
    ground: Any = SimpleNamespace(sandbox=SimpleNamespace(level="full"))
    made = Lanes(None, runbook(tmp_path, connectors=["checkout"]), ground, lambda: rules)  # type: ignore[arg-type]
    with pytest.raises(KernelUnavailable, match="no policy has the connector 'checkout' any more"):
        await made.start_read_only()


async def test_where_no_scratch_folder_can_be_made_no_kernel_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    revoked: list[bool] = []
    grant = SimpleNamespace(revoke=lambda: revoked.append(True))
    ground: Any = SimpleNamespace(
        sandbox=SimpleNamespace(level="full"), proxy=SimpleNamespace(grant=lambda *_: grant)
    )
    made = Lanes(None, runbook(tmp_path), ground, lambda: policies(1))  # type: ignore[arg-type]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "checkout.ipynb"))
    with pytest.raises(KernelUnavailable, match="no folder can be made for a kernel"):
        await made.start_read_only()
    assert revoked == [True]


def request(refused: str = "") -> ConnectorData:
    return ConnectorData(
        execution="x-1",
        lane="read-only",
        connector="checkout",
        method="GET",
        path="/",
        status=200,
        bytes=1,
        duration_ms=1,
        refused=refused,
    )


class Recorder:
    """A journal that keeps what is appended."""

    failed = False

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def append(self, event: Any) -> None:
        self.events.append(event)


async def test_a_connector_request_goes_into_the_record_of_the_kernel_that_sent_it() -> None:
    board, one, two = Switchboard(), Recorder(), Recorder()
    kernels = [
        SimpleNamespace(cell="look", request=None, refusals=[]),
        SimpleNamespace(cell="fix", request="r-1", refusals=[]),
    ]
    board.connect("token-1", one, kernels[0])  # type: ignore[arg-type]
    board.connect("token-2", two, kernels[1])  # type: ignore[arg-type]
    await board.record(SimpleNamespace(token="token-2"), request("not allowed"))  # type: ignore[arg-type]
    assert one.events == []
    [event] = two.events
    assert (event.cell, event.request) == ("fix", "r-1")
    assert kernels[1].refusals == ["not allowed"]


async def test_a_request_that_could_not_be_recorded_is_refused_before_it_is_sent() -> None:
    board, journal = Switchboard(), Recorder()
    kernel: Any = SimpleNamespace(cell="look", request=None, refusals=[])
    grant: Any = SimpleNamespace(token="token-1")
    with pytest.raises(RecordUnwritable, match="no session answers"):
        await board.allow(grant, "GET", "/")
    board.connect("token-1", journal, kernel)  # type: ignore[arg-type]
    await board.allow(grant, "GET", "/")
    journal.failed = True
    with pytest.raises(RecordUnwritable, match="cannot be extended"):
        await board.allow(grant, "GET", "/")
    journal.failed = False
    board.disconnect("token-1")
    with pytest.raises(RecordUnwritable, match="no session answers"):
        await board.allow(grant, "GET", "/")
    with pytest.raises(RecordUnwritable, match="no session answers"):
        await board.record(grant, request())
