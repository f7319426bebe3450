"""What an approval channel shows of a request: one value with everything in it."""

from runbookd.approvals.request import RequestDocument, fingerprint
from runbookd.events import RequestState
from runbookd.model import Digest, Frozen


class RequestView(Frozen):
    """A request as it stands, for people.

    ``approved_by`` and ``decided_by`` are names of people; ``groups`` are what the policy calls
    those who may decide. ``decided_at`` and ``expires_at`` are RFC 3339. ``usergroups`` are the
    Slack user groups whose members are looked up when somebody clicks. ``result`` says in one
    line what became of the execution. ``checkpoint_note`` is the signed note of the session's
    latest checkpoint, so that a copy of it lies outside.
    """

    id: str
    session: str
    title: str
    runbook: str
    incident: str | None = None
    severity: int | None = None
    drill: bool = False
    document: RequestDocument
    digest: Digest
    state: RequestState = "pending"
    approved_by: tuple[str, ...] = ()
    decided_by: str | None = None
    decided_at: str | None = None
    reason: str = ""
    quorum: int = 1
    groups: tuple[str, ...] = ()
    usergroups: tuple[str, ...] = ()
    expires_at: str
    rollback: str | None = None
    result: str = ""
    checkpoint_note: str = ""

    @property
    def fingerprint(self) -> str:
        """The first 8 hex digits of the digest."""
        return fingerprint(self.digest)
