"""The way to a connector's upstream: its address, credentials for one request, connections.

Nothing of the daemon's environment takes part (no proxies, no netrc), no cookie is kept, and
certificates are always verified.
"""

import base64
import contextlib
import os
import ssl
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from runbookd.errors import SecretUnavailable
from runbookd.kernels.grants import ConnectorRule

# Many servers close an idle connection after 5 s; one that is used again just then fails.
_KEEP_S = 2.0
_CONNECTIONS = 100
_LINE = 64 * 1024

_Identity = tuple[Path | None, Path | None, str | None]

Resolve = Callable[[str], Awaitable[str]]
"""Turns a secret reference into its value; raises SecretUnavailable."""


@dataclass(frozen=True)
class Upstream:
    """Where a request goes, the credentials it gets, and the connections it can use.

    ``url`` is without a slash at its end.
    """

    url: str
    headers: Mapping[str, str]
    session: aiohttp.ClientSession


class Upstreams:
    """All upstreams of a daemon, with their open connections.

    Args:
        resolve: asked for the connector's credentials for every request.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._sessions: dict[_Identity, aiohttp.ClientSession] = {}

    async def to(self, rule: ConnectorRule) -> Upstream:
        """The way to a connector's upstream, with credentials for one request.

        Raises:
            SecretUnavailable: a credential, or a certificate, cannot be had.
        """
        headers = {
            name: _as_header(rule, await self._resolve(ref)) for name, ref in rule.headers.items()
        }
        identity = (rule.ca, rule.cert, rule.key)
        if identity not in self._sessions:
            key = await self._resolve(rule.key) if rule.key else None
            context = _tls(rule, key)
            # Another request may have been here meanwhile.
            if identity not in self._sessions:
                self._sessions[identity] = _session(context)
        return Upstream(rule.url.rstrip("/"), headers, self._sessions[identity])

    async def close(self) -> None:
        """Close all connections."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()


def _as_header(rule: ConnectorRule, secret: str) -> str:
    match rule.scheme:
        case None:
            return secret
        case "bearer":
            return f"Bearer {secret}"
        case "basic":
            return "Basic " + base64.b64encode(secret.encode()).decode("ascii")


def _session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            ssl=context, limit=_CONNECTIONS, keepalive_timeout=_KEEP_S, ttl_dns_cache=None
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        max_line_size=_LINE,
        max_field_size=_LINE,
    )
    # aiohttp sends a DELETE or PUT again when the connection broke before an answer. It may have
    # taken effect, and what is recorded as one request must be one. There is no public switch.
    session._retry_connection = False
    return session


def _tls(rule: ConnectorRule, key: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=rule.ca)
        if rule.cert is not None:
            if key is None:
                context.load_cert_chain(rule.cert)
            else:
                with _in_memory(key) as path:
                    context.load_cert_chain(rule.cert, path)
    except (OSError, ValueError) as error:
        raise SecretUnavailable(
            f"the certificates of the connector {rule.name!r} cannot be used "
            f"({type(error).__name__})",
            "look at tls in its policy",
        ) from None
    return context


@contextlib.contextmanager
def _in_memory(text: str) -> Generator[str, None, None]:
    """A path to ``text`` that never touches a disk."""
    descriptor = os.memfd_create("key", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
