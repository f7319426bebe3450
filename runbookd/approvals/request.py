"""What an approval binds: the document of a request, its digest, and what changed since.

The document holds everything that decides what an execution does and where it can reach. It is
written as canonical JSON (RFC 8785), its SHA-256 is what approvers approve, and the same document
made afresh at the moment of execution must still be equal. What is incidental (the cell's id,
title and place in the notebook) is left out, so that moving a cell changes nothing.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from runbookd.canonical import MAX_INTEGER, NotCanonical, canonical, sha256
from runbookd.clock import parse_rfc3339
from runbookd.errors import InputError
from runbookd.events import SandboxLevel
from runbookd.model import Digest, Frozen, JsonText

TAKEN_OVER = frozenset({"requested_at", "expires_at", "nonce", "checkpoint"})
"""Fields that say when the request was made, not what would run: a fresh document shares them."""


class ConnectorGrant(Frozen):
    """A way to production that the execution may use. ``allow`` is verbs with path patterns."""

    name: str
    url: str
    allow: tuple[str, ...]


class MayTouch(Frozen):
    """How far the sandbox is opened for the execution."""

    writable: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    unix_sockets: tuple[str, ...] = ()
    signals: bool = False
    sandbox: SandboxLevel


class CheckpointRef(Frozen):
    """The session's record when the request was made: how many lines, and its RFC 6962 root."""

    size: int = Field(ge=0, le=MAX_INTEGER)
    root: str


class RequestDocument(Frozen):
    """Everything that an approval binds.

    Times are RFC 3339 in UTC, ``timeout_s`` is in seconds. ``inputs`` and ``parameters`` are name
    -> JSON text, and their names are ASCII. ``outputs`` are the names that are handed back.
    ``requester`` is an actor id, ``requester_slack`` their Slack user if it is known. ``nonce`` is
    random hex, so that no two requests share a digest.
    """

    v: Literal[1] = 1
    session: str
    runbook_digest: Digest
    policy_digest: Digest
    source: str
    source_digest: Digest
    language: str
    kernelspec: str
    kernelspec_digest: Digest
    inputs: dict[str, JsonText]
    outputs: tuple[str, ...]
    parameters: dict[str, JsonText]
    connectors: tuple[ConnectorGrant, ...]
    may_touch: MayTouch
    environment: str
    service: str
    requester: str
    requester_slack: str | None
    timeout_s: int = Field(ge=1, le=MAX_INTEGER)
    requested_at: str
    expires_at: str
    checkpoint: CheckpointRef
    nonce: str = Field(pattern=r"^[0-9a-f]{16,64}$")

    @model_validator(mode="after")
    def _sound(self) -> Self:
        """What people read is what is digested, and the times are times."""
        if sha256(self.source) != self.source_digest:
            raise ValueError("source_digest is not the SHA-256 of source")
        for moment in (self.requested_at, self.expires_at):
            parse_rfc3339(moment)
        for connector in self.connectors:
            if "@" in connector.url.partition("://")[2].partition("/")[0]:
                raise ValueError(f"the URL of connector {connector.name} holds credentials")
        return self


def document_digest(document: RequestDocument) -> Digest:
    """SHA-256 of the document's canonical JSON: what approvers approve.

    Raises:
        InputError: the document holds something that canonical JSON cannot say, such as the name
            of an input that is not ASCII.
    """
    try:
        return sha256(canonical(document.model_dump(mode="json")))
    except NotCanonical as error:
        raise InputError(
            f"this cell cannot be asked for: {error}", "rename or correct it in the runbook"
        ) from None


def fingerprint(digest: Digest) -> str:
    """The first 8 hex digits: short enough to compare between two screens."""
    return digest[:8]


def matches(document: RequestDocument, fresh: RequestDocument) -> list[str]:
    """The bound fields in which two documents differ; empty when they say the same.

    A field is bound unless it is in :data:`TAKEN_OVER`.

    Args:
        document: what was approved.
        fresh: what would be asked for now.
    """
    return [
        name
        for name in RequestDocument.model_fields
        if name not in TAKEN_OVER and getattr(document, name) != getattr(fresh, name)
    ]
