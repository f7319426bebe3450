"""What a kernel may ask of which upstreams: connector rules, and their grant to one kernel."""

import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from runbookd.errors import InputError
from runbookd.events import Lane
from runbookd.kernels.paths import Allowed
from runbookd.model import Frozen

HOST = "127.0.0.1"


class ConnectorRule(Frozen):
    """One upstream as one lane may use it.

    ``allow`` holds lines like ``GET /api/*``; nothing else is let through. ``headers`` maps names
    of headers to secret *references*, resolved for each request; ``scheme`` says how a value
    becomes the header (none: as it is; ``basic``: it is ``user:password``). ``ca`` is a PEM file of
    the authorities to trust instead of the system's; ``cert`` a PEM file with a client certificate
    and ``key`` the reference of its private key (without: the key is in ``cert``). Times in
    seconds; ``silence_s`` is how long the upstream may send nothing, ``total_s`` how long the whole
    request may take. ``max_request`` and ``max_answer`` are the longest bodies, in bytes.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")
    url: str = Field(pattern=r"^https?://[^\s?#@\\]+$")
    allow: tuple[str, ...] = ()
    headers: dict[str, str] = {}
    scheme: Literal["bearer", "basic"] | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: str | None = None
    connect_s: int = 5
    silence_s: int = 30
    total_s: int = 3600
    max_request: int = 16 * 2**20
    max_answer: int = 2**30


class Grant:
    """The right of one kernel to use some connectors.

    Attributes:
        lane: the lane that the kernel serves.
        execution: what requests are put down to; set it anew as cells run.
        env: the variables to give to the kernel, for example ``CHECKOUT_ADMIN_URL``.
        port: the loopback port that the kernel must be able to connect to.
        failed: a request could not be recorded, so no other one passes.
        revoked: the grant is no more.
        under_way: called when it is revoked, to end what is under way.
    """

    def __init__(
        self, lane: Lane, execution: str, rules: Iterable[ConnectorRule], port: int
    ) -> None:
        self.lane: Lane = lane
        self.execution = execution
        self.port = port
        self.token = secrets.token_urlsafe(32)
        self.failed = False
        self.revoked = False
        self.under_way: set[Callable[[], None]] = set()
        self.rules: dict[str, ConnectorRule] = {}
        self.allowed: dict[str, tuple[Allowed, ...]] = {}
        self.env: dict[str, str] = {}
        for rule in rules:
            variable = rule.name.upper().replace("-", "_") + "_URL"
            if variable in self.env:
                raise InputError(f"the connector {rule.name!r} is granted twice", "name it once")
            self.rules[rule.name] = rule
            self.allowed[rule.name] = tuple(Allowed.parse(text) for text in rule.allow)
            self.env[variable] = f"http://{HOST}:{port}/{self.token}/{rule.name}"

    def revoke(self) -> None:
        """Take the right back; the token is unknown from now on."""
        self.revoked = True
        for end in tuple(self.under_way):
            end()
