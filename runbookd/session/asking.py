"""What is asked for when a gated cell wants to run: its gate, its document, its view. Pure."""

from dataclasses import dataclass
from datetime import datetime

from runbookd.approvals.request import (
    CheckpointRef,
    ConnectorGrant,
    MayTouch,
    RequestDocument,
)
from runbookd.approvals.view import RequestView
from runbookd.canonical import sha256
from runbookd.clock import parse_rfc3339, rfc3339
from runbookd.errors import RunbookError
from runbookd.events import SandboxLevel
from runbookd.model import Digest, JsonText
from runbookd.policy.decide import RequestFacts
from runbookd.policy.gates import CellFacts, Gate, gate
from runbookd.policy.model import Policies
from runbookd.policy.people import identity_of, slack_usergroups
from runbookd.runbook.notebook import Cell, Runbook
from runbookd.session.state import Request, SessionState


@dataclass(frozen=True)
class Terms:
    """What a kernel of the gated lane would be, apart from what policy and runbook say."""

    language: str
    kernelspec: str
    kernelspec_digest: Digest
    level: SandboxLevel


def gate_of(state: SessionState, runbook: Runbook, cell: Cell, policies: Policies) -> Gate:
    """What the policies ask for before ``cell`` may run."""
    assert state.opened is not None
    # A responder may call an incident worse than its runbook does, never milder: that could
    # switch a rule off.
    severities = [each for each in (state.opened.severity, runbook.severity) if each is not None]
    facts = CellFacts(
        cell=cell.id,
        mode="gated",
        risk=cell.risk,
        service=state.opened.service,
        environment=state.opened.environment,
        severity=min(severities, default=None),
        tags=runbook.tags,
        runbook=runbook.path.name,
        parameters=state.opened.parameters,
    )
    return gate(policies, facts)


def document(
    *,
    state: SessionState,
    runbook: Runbook,
    cell: Cell,
    policies: Policies,
    terms: Terms,
    inputs: dict[str, JsonText],
    requester: str,
    root: str,
    now: datetime,
    expires_at: datetime,
    nonce: str,
) -> RequestDocument:
    """Everything that an approval of ``cell`` binds, as it is at this moment.

    Args:
        root: the Merkle root of the session's record, hex.
        others: see :class:`~runbookd.approvals.request.RequestDocument`.

    Raises:
        RunbookError: the cell uses a connector that the policies do not have.
    """
    assert state.opened is not None
    lane = policies.lanes.gated
    accounts = identity_of(policies, requester).slack
    return RequestDocument(
        session=state.id,
        runbook_digest=state.opened.runbook.digest,
        policy_digest=policies.digest,
        source=cell.source,
        source_digest=sha256(cell.source),
        language=terms.language,
        kernelspec=terms.kernelspec,
        kernelspec_digest=terms.kernelspec_digest,
        inputs=inputs,
        outputs=cell.outputs,
        parameters=state.opened.parameters,
        connectors=tuple(_grant(policies, name) for name in cell.connectors),
        may_touch=MayTouch(
            writable=tuple(str(path) for path in lane.writable),
            endpoints=tuple(str(endpoint) for endpoint in lane.endpoints),
            unix_sockets=tuple(str(path) for path in lane.unix_sockets),
            signals=lane.signals,
            sandbox=terms.level,
        ),
        environment=state.opened.environment,
        service=state.opened.service,
        requester=requester,
        requester_slack=min(accounts) if accounts else None,
        timeout_s=cell.timeout_s or lane.timeout,
        requested_at=rfc3339(now),
        expires_at=rfc3339(expires_at),
        checkpoint=CheckpointRef(size=state.seq, root=root),
        nonce=nonce,
    )


def _grant(policies: Policies, name: str) -> ConnectorGrant:
    connector = policies.connectors.get(name)
    if connector is None:
        raise RunbookError(
            f"no policy has a connector {name!r}", "add it to the policies, or correct the cell"
        )
    return ConnectorGrant(name=name, url=connector.url, allow=connector.gated)


def facts(asked: Request, policies: Policies) -> RequestFacts:
    """A request as :func:`runbookd.policy.decide.judge` looks at it."""
    return RequestFacts(
        digest=asked.digest,
        requester=identity_of(policies, asked.requester),
        expires_at=parse_rfc3339(asked.expires_at),
        state=asked.state,
        decided_by=asked.decided_by,
    )


def view(state: SessionState, asked: Request, policies: Policies | None) -> RequestView:
    """What channels show of a request. Without policies nobody's groups can be looked up."""
    assert state.opened is not None
    plan = state.cells[asked.cell].plan
    run = state.executions.get(asked.execution or "")
    rollback = state.cells[plan.rollback].plan.title if plan.rollback else None
    result = ""
    if run is not None and run.status is not None:
        result = f"{run.status} after {run.duration_ms / 1000:.1f} s"
        if run.error:
            result += f": {run.error}"
    return RequestView(
        id=asked.id,
        session=state.id,
        title=plan.title,
        runbook=state.opened.runbook.title,
        incident=state.opened.incident,
        severity=state.opened.severity,
        drill=state.opened.drill,
        document=RequestDocument.model_validate(asked.document),
        digest=asked.digest,
        state=asked.state,
        approved_by=asked.approved_by,
        decided_by=asked.decided_by,
        decided_at=asked.decided_at,
        reason=asked.reason,
        quorum=asked.quorum,
        groups=asked.groups,
        usergroups=tuple(sorted(slack_usergroups(policies, asked.groups))) if policies else (),
        expires_at=asked.expires_at,
        rollback=rollback,
        result=result,
        checkpoint_note=state.checkpoint,
    )
