"""What a policy can say (design, section 7): one model for each part of the YAML.

Whatever makes approvals or kernels *less* strict when it is ignored is refused until it is
enforced; what only adds to people's convenience is accepted, and :mod:`runbookd.policy.check`
says that it is not in force yet.
"""

import difflib
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, StrictBool, model_validator
from pydantic_core import PydanticCustomError

from runbookd.events import Lane, PolicyRef, Risk
from runbookd.model import Digest, Frozen
from runbookd.policy.cel import check_syntax
from runbookd.policy.values import (
    AbsolutePath,
    Allowance,
    ConnectorName,
    Count,
    Duration,
    Endpoint,
    EnvName,
    Globs,
    HeaderName,
    Name,
    OsUser,
    Pattern,
    Person,
    SecretText,
    Size,
    SlackGroup,
    SlackUser,
    Upstream,
    WritablePath,
)

DEFAULT_GROUP = "approvers"
"""Who approves a gated cell that no rule matches."""

DEFAULT_EXPIRY_S = 15 * 60


class Written(Frozen):
    """Something that people write by hand: a wrong key is named, with the one that was meant."""

    not_yet: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        allowed = [field.alias or name for name, field in cls.model_fields.items()]
        for key in value:
            if key in cls.not_yet:
                raise PydanticCustomError(
                    "key", 'the key "{key}" is not supported yet', {"key": key}
                )
            if key not in allowed:
                near = difflib.get_close_matches(key, allowed, n=1)
                meant = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(allowed)}"
                raise PydanticCustomError("key", 'unknown key "{key}"', {"key": key, "hint": meant})
        return value


def _one_or_many(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class PersonNames(Written):
    """One person, and every account they go by."""

    person: Person
    os_user: Annotated[tuple[OsUser, ...], BeforeValidator(_one_or_many)] = ()
    slack: Annotated[tuple[SlackUser, ...], BeforeValidator(_one_or_many)] = ()


class Group(Written):
    """People who may approve: named here, in a Slack user group, or in a group of the OS."""

    slack_usergroup: SlackGroup | None = None
    people: tuple[Person, ...] = ()
    os_groups: tuple[OsUser, ...] = ()

    @property
    def empty(self) -> bool:
        """Nobody can be in it."""
        return not (self.slack_usergroup or self.people or self.os_groups)


class Match(Written):
    """Which cells a rule is about. A list that is empty or left out asks for nothing.

    Texts are globs and compared without regard to case; ``tags`` asks for any of them.
    """

    environment: Globs = ()
    risk: tuple[Risk, ...] = ()
    service: Globs = ()
    runbook: Globs = ()
    tags: Globs = ()


class Escalate(Written):
    """Whom to tell, and when, if nobody has decided. Times are in seconds."""

    after: Duration
    to: tuple[Name, ...]


class Approve(Written):
    """Who approves: somebody of any group in ``by``, and ``quorum`` people in all."""

    by: Annotated[tuple[Name, ...], BeforeValidator(_one_or_many)]
    quorum: Count = 1
    expires: Duration = DEFAULT_EXPIRY_S
    remind: Duration | None = None
    escalate: Escalate | None = None


class BreakGlass(Written):
    """Who may run without an approval, and when it must be reviewed."""

    by: tuple[Name, ...]
    review_within: Duration


class Rule(Written):
    """What a gated cell needs, if it matches."""

    not_yet: ClassVar[frozenset[str]] = frozenset({"evidence"})

    name: Name
    match: Match = Match()
    when: Annotated[str, Field(min_length=1)] | None = None
    approve: Approve
    on_approval: Literal["hold", "run"] = "hold"
    break_glass: BreakGlass | None = None

    @model_validator(mode="after")
    def _when_is_cel(self) -> "Rule":
        problem = check_syntax(self.when) if self.when is not None else ""
        if problem:
            raise PydanticCustomError("when", "{problem}", {"problem": problem, "key": "when"})
        return self


class Credential(Written):
    """The header that the proxy adds.

    Without a ``scheme`` the secret's value is the header's value, as it is. ``bearer`` stands for a
    bare token, ``basic`` for ``user:password``.
    """

    header: HeaderName = "Authorization"
    scheme: Literal["bearer", "basic"] | None = None
    secret: SecretText


class Tls(Written):
    """How the proxy proves the upstream, and itself. Paths of PEM files; ``key`` by reference."""

    ca: AbsolutePath | None = None
    cert: AbsolutePath | None = None
    key: SecretText | None = None


class ConnectorLimits(Written):
    """How long and how large one request may be. Times in seconds, sizes in bytes."""

    connect: Duration = 5
    silence: Duration = 30
    total: Duration = 3600
    request: Size = 16 * 2**20
    answer: Size = 2**30


class Connector(Written):
    """An upstream, and what each lane may ask of it. A lane without a list may ask nothing."""

    url: Upstream
    credential: Credential | None = None
    tls: Tls | None = None
    limits: ConnectorLimits = ConnectorLimits()
    read_only: tuple[Allowance, ...] = Field(alias="read-only", default=())
    gated: tuple[Allowance, ...] = ()

    def allowed(self, lane: Lane) -> tuple[str, ...]:
        """What a lane may ask: ``METHOD /path`` with ``*`` for anything."""
        return self.read_only if lane == "read-only" else self.gated


class LaneLimits(Written):
    """What both lanes have. Times in seconds, sizes in bytes.

    ``readable`` opens paths that the sandbox would hide; ``secrets`` are environment variables
    from references, for protocols that no connector speaks.
    """

    timeout: Duration = 60
    memory: Size = 2**30
    processes: Count = 64
    output: Size = 64 * 2**20
    endpoints: tuple[Endpoint, ...] = ()
    readable: tuple[AbsolutePath, ...] = ()
    secrets: dict[EnvName, SecretText] = {}


class ReadOnlyLane(LaneLimits):
    """The lane that changes nothing. ``unenforced`` runs it without a sandbox, and says so."""

    sandbox: Literal["enforced", "unenforced"] = "enforced"


class GatedLane(LaneLimits):
    """The lane of approved cells, opened only this far."""

    timeout: Duration = 300
    writable: tuple[WritablePath, ...] = ()
    signals: StrictBool = False
    unix_sockets: tuple[AbsolutePath, ...] = ()


class Lanes(Written):
    """Both lanes."""

    read_only: ReadOnlyLane = Field(alias="read-only", default=ReadOnlyLane())
    gated: GatedLane = GatedLane()


class Redaction(Written):
    """Regular expressions for what must never be stored or shown, besides the known secrets."""

    patterns: tuple[Pattern, ...] = ()


class Retention(Written):
    """How long sessions are kept, in seconds."""

    sessions: Duration | None = None


class PolicyFile(Written):
    """One file of the policies folder."""

    version: Literal[1]
    identities: tuple[PersonNames, ...] = ()
    groups: dict[Name, Group] = {}
    rules: tuple[Rule, ...] = ()
    connectors: dict[ConnectorName, Connector] = {}
    lanes: Lanes = Lanes()
    redaction: Redaction = Redaction()
    retention: Retention = Retention()


class Policies(Frozen):
    """All files of a policies folder together, and their digests.

    ``files`` has the SHA-256 of each file by its name; ``digest`` is over all of them, names
    included, so that two folders with the same digest say the same.
    """

    folder: str = ""
    digest: Digest
    files: dict[str, Digest] = {}
    identities: tuple[PersonNames, ...] = ()
    groups: dict[str, Group] = {}
    rules: tuple[Rule, ...] = ()
    connectors: dict[str, Connector] = {}
    lanes: Lanes = Lanes()
    redaction: Redaction = Redaction()
    retention: Retention = Retention()

    @property
    def ref(self) -> PolicyRef:
        """The digests, as a record keeps them."""
        return PolicyRef(digest=self.digest, files=self.files)
