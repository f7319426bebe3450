"""The way to a connector's upstream: its address, credentials for one request, connections.

Nothing of the daemon's environment takes part (no proxies, no netrc), no cookie is kept, and
certificates are always verified.
"""

import contextlib
import os
import ssl
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from runbookd.errors import SecretUnavailable
from runbookd.kernels.grants import ConnectorRule

# Many servers close an idle connection after 5 s; one that is used again just then fails.
_LIMITS = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=2.0)

Resolve = Callable[[str], Awaitable[str]]
"""Turns a secret reference into its value; raises SecretUnavailable."""


@dataclass(frozen=True)
class Upstream:
    """Where a request goes, the credentials it gets, and the connections it can use."""

    url: httpx.URL
    headers: Mapping[str, str]
    transport: httpx.AsyncHTTPTransport


class Upstreams:
    """All upstreams of a daemon, with their open connections.

    Args:
        resolve: asked for the connector's credentials for every request.
    """

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._transports: dict[
            tuple[Path | None, Path | None, str | None], httpx.AsyncHTTPTransport
        ] = {}

    async def to(self, rule: ConnectorRule) -> Upstream:
        """The way to a connector's upstream, with credentials for one request.

        Raises:
            SecretUnavailable: a credential, or a certificate, cannot be had.
        """
        headers = {name: await self._resolve(ref) for name, ref in rule.headers.items()}
        identity = (rule.ca, rule.cert, rule.key)
        if identity not in self._transports:
            key = await self._resolve(rule.key) if rule.key else None
            self._transports[identity] = httpx.AsyncHTTPTransport(
                verify=_tls(rule, key), trust_env=False, limits=_LIMITS
            )
        return Upstream(httpx.URL(rule.url), headers, self._transports[identity])

    async def close(self) -> None:
        """Close all connections."""
        for transport in self._transports.values():
            await transport.aclose()
        self._transports.clear()


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
