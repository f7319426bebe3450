"""Which headers a connector passes on, either way.

Out go only headers that describe the request (an allow-list: no credentials, cookies, forwarding,
impersonation or method-override headers of a cell's own), and the connector's credentials. Back
comes everything but hop-by-hop headers (RFC 9110, section 7.6.1), cookies, and whatever holds a
credential. Headers that ``Connection`` names are hop-by-hop both ways.
"""

import contextlib
from collections.abc import Iterable, Mapping

Headers = list[tuple[bytes, bytes]]
"""Pairs of a lower-case name and a value, in order."""

_REQUEST_HEADERS = frozenset(
    b"accept accept-encoding accept-language cache-control content-encoding content-language "
    b"content-type idempotency-key if-match if-modified-since if-none-match if-range "
    b"if-unmodified-since pragma prefer range traceparent tracestate user-agent "
    b"x-request-id".split()
)
_NOT_BACK = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authentication-info te "
    b"trailer transfer-encoding upgrade set-cookie set-cookie2 authentication-info alt-svc "
    b"strict-transport-security x-runbookd-refused".split()
)


def outgoing(headers: Headers, credentials: Mapping[str, str]) -> list[tuple[str, str]]:
    """What goes to the upstream of a cell's headers, with the credentials.

    What is not UTF-8 stays behind.

    Raises:
        ValueError: a credential cannot be a header.
    """
    # A header that the connector sets is never taken from the cell, whatever it is.
    ours = {name.lower().encode("ascii") for name in credentials}
    stay = ours | _named_by_connection(headers)
    kept = []
    for name, value in headers:
        if name in _REQUEST_HEADERS and name not in stay:
            with contextlib.suppress(UnicodeDecodeError):
                kept.append((name.decode("ascii"), value.decode("utf-8")))
    for key, text in credentials.items():
        if any(ord(char) < 32 or ord(char) == 127 for char in key + text):
            raise ValueError("a credential holds a control character")
        kept.append((key, text))
    return kept


def returning(headers: Headers, credentials: Iterable[str]) -> Headers:
    """What goes back to the cell of an upstream's headers, given the credentials it was sent."""
    headers = [(name.lower(), value) for name, value in headers]
    stay = _NOT_BACK | _named_by_connection(headers)
    if any(name == b"transfer-encoding" for name, _ in headers):
        # Where both are there the length is not what it says (RFC 9112, section 6.3).
        stay |= {b"content-length"}
    hidden = [credential.encode() for credential in credentials if credential]
    return [
        (name, value)
        for name, value in headers
        if name not in stay and not any(credential in value for credential in hidden)
    ]


def _named_by_connection(headers: Headers) -> frozenset[bytes]:
    return frozenset(
        each.strip().lower()
        for name, value in headers
        if name == b"connection"
        for each in value.split(b",")
    )
