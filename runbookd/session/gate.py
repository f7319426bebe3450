"""The gate: the one way in which a claimed approval becomes an execution.

:func:`claim` is the only maker of a :class:`Claim`, and a gated kernel is started for a Claim and
for nothing else. The claim is on disk before the kernel is started; it is used up by that, however
the execution ends.
"""

from dataclasses import InitVar, dataclass
from datetime import datetime
from typing import Any

from runbookd.approvals.request import RequestDocument, document_digest, matches
from runbookd.clock import parse_rfc3339
from runbookd.errors import NotApproved
from runbookd.events import (
    Actor,
    ApprovalClaimed,
    CellStarted,
    ClaimedData,
    StartedData,
)
from runbookd.policy.model import Policies
from runbookd.policy.people import identity_of
from runbookd.session.journal import Journal
from runbookd.session.state import Request, SessionState

_MINTED = object()


@dataclass(frozen=True, slots=True)
class Claim:
    """An approval that is used up for one execution. Nothing but :func:`claim` makes one.

    ``minted`` is not kept, so that ``dataclasses.replace`` cannot make another out of one either.
    """

    request: str
    cell: str
    execution: str
    document: RequestDocument
    minted: InitVar[object]

    def __post_init__(self, minted: object) -> None:
        if minted is not _MINTED:
            raise TypeError("a Claim comes from gate.claim and from nowhere else")


def problems(
    request: Request, fresh: RequestDocument, policies: Policies, now: datetime
) -> tuple[str, ...]:
    """Why ``request`` may not be executed now; empty when it may. Pure.

    Args:
        request: the request as the record has it.
        fresh: the document that would be asked for at this moment.
        policies: who is who, so that two accounts of one person count once.
        now: the moment of execution.
    """
    found: list[str] = []
    if request.state != "approved":
        found.append(f"the request is {request.state}")
    if now >= parse_rfc3339(request.expires_at):
        found.append(f"the approval expired at {request.expires_at}")
    document = stored_document(request.document)
    if document_digest(document) != request.digest:
        found.append("the request in the record does not have the digest that was approved")
    if document.expires_at != request.expires_at:
        found.append("the expiry was changed after the request")
    found += [f"{name} changed since it was approved" for name in matches(document, fresh)]
    requester = identity_of(policies, request.requester)
    approvers = {identity_of(policies, name) for name in request.approved_by}
    if requester in approvers:
        found.append("the requester is among those who approved")
    if len(approvers) < max(1, request.quorum):
        found.append(f"{len(approvers)} of {request.quorum} people approved")
    return tuple(found)


def stored_document(document: dict[str, Any]) -> RequestDocument:
    """The document of a recorded request."""
    return RequestDocument.model_validate(document)


async def claim(
    journal: Journal,
    request: str,
    fresh: RequestDocument,
    *,
    execution: str,
    actor: Actor,
    now: datetime,
    policies: Policies,
) -> Claim:
    """Use the approval up, durably, for ``execution``. Call it with the session's lock held.

    Raises:
        NotApproved: it may not be executed; says why. Nothing was recorded.
        RecordUnwritable: the claim is not on disk, so nothing may run.
    """
    state: SessionState = journal.state
    asked = state.requests[request]
    why = problems(asked, fresh, policies, now)
    if why:
        raise NotApproved("; ".join(why), "ask again")
    document = stored_document(asked.document)
    await journal.append(
        ApprovalClaimed(
            cell=asked.cell,
            request=request,
            data=ClaimedData(execution=execution, digest=asked.digest),
        ),
        CellStarted(
            cell=asked.cell,
            request=request,
            data=StartedData(
                execution=execution,
                lane="gated",
                source_digest=document.source_digest,
                timeout_s=document.timeout_s,
            ),
        ),
        actor=actor,
    )
    return Claim(request, asked.cell, execution, document, _MINTED)
