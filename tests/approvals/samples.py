"""A request to try things on."""

from typing import Any

from runbookd.approvals.request import (
    CheckpointRef,
    ConnectorGrant,
    MayTouch,
    RequestDocument,
    document_digest,
)
from runbookd.approvals.view import RequestView
from runbookd.canonical import sha256

SOURCE = "pool = admin.get('/admin/pool')\nadmin.post('/admin/pool', {'size': target})\n"
NOTE = "host/runbookd/s-1\n42\nUk9PVA==\n\n— host/runbookd/s-1 c2lnbmF0dXJl\n"


def document(**changes: Any) -> RequestDocument:
    source = changes.get("source", SOURCE)
    values: dict[str, Any] = {
        "session": "s-1",
        "runbook_digest": "a" * 64,
        "policy_digest": "b" * 64,
        "source": source,
        "source_digest": sha256(source),
        "language": "python",
        "kernelspec": "python3",
        "kernelspec_digest": "c" * 64,
        "inputs": {"target": "40"},
        "outputs": ("changed",),
        "parameters": {"region": '"eu-1"'},
        "connectors": (
            ConnectorGrant(
                name="checkout-admin",
                url="https://checkout.internal",
                allow=("GET /*", "POST /admin/pool"),
            ),
        ),
        "may_touch": MayTouch(writable=("/var/log/checkout",), sandbox="full"),
        "environment": "production",
        "service": "checkout",
        "requester": "you",
        "requester_slack": "U0YOU",
        "timeout_s": 300,
        "requested_at": "2026-11-24T02:07:31.000000Z",
        "expires_at": "2026-11-24T02:22:31.000000Z",
        "checkpoint": CheckpointRef(size=42, root="d" * 64),
        "nonce": "0123456789abcdef",
    }
    return RequestDocument(**{**values, **changes})


def view(*, of: RequestDocument | None = None, **changes: Any) -> RequestView:
    of = of or document()
    values: dict[str, Any] = {
        "id": "r-1",
        "session": of.session,
        "title": "Enlarge the connection pool",
        "runbook": "Checkout: pool exhausted",
        "incident": "INC-7",
        "severity": 1,
        "document": of,
        "digest": document_digest(of),
        "groups": ("commanders",),
        "usergroups": ("S0COMMAND",),
        "expires_at": of.expires_at,
        "rollback": "Shrink it again",
        "checkpoint_note": NOTE,
    }
    return RequestView(**{**values, **changes})
