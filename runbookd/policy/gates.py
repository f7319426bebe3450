"""What a gated cell needs before it may run: every matching rule, the strictest value of each."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from runbookd.events import Mode, Risk
from runbookd.model import JsonText
from runbookd.policy.cel import applies
from runbookd.policy.model import DEFAULT_EXPIRY_S, DEFAULT_GROUP, Policies, Rule


@dataclass(frozen=True, slots=True)
class CellFacts:
    """What rules can look at. Whatever is unknown (None, empty) matches: doubt makes stricter.

    Args:
        cell: its id.
        mode: how the runbook labels it; a read-only cell is judged too where it cannot be
            sandboxed.
        risk: None when nothing is said.
        service, environment, severity, tags, runbook: of the session; ``runbook`` is its file
            name.
        parameters: as resolved, JSON texts.
    """

    cell: str
    mode: Mode
    risk: Risk | None = None
    service: str = ""
    environment: str = ""
    severity: int | None = None
    tags: tuple[str, ...] = ()
    runbook: str = ""
    parameters: Mapping[str, JsonText] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gate:
    """What an approval needs.

    An approver must be in some group of *each* set in ``groups``; without a set nobody can
    approve. ``quorum`` counts people; times are in seconds.
    """

    rules: tuple[str, ...]
    groups: tuple[frozenset[str], ...]
    quorum: int
    expires_s: int
    remind_s: int | None = None
    on_approval: Literal["hold", "run"] = "hold"

    @property
    def group_names(self) -> tuple[str, ...]:
        """All groups that play a part, for people to read."""
        return tuple(sorted(frozenset().union(*self.groups)))

    def to_json(self) -> dict[str, Any]:
        """The gate as a JSON object that can be part of a request's document."""
        return {
            "rules": list(self.rules),
            "groups": [sorted(each) for each in self.groups],
            "quorum": self.quorum,
            "expires_s": self.expires_s,
            "remind_s": self.remind_s,
            "on_approval": self.on_approval,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Gate":
        """The gate that :meth:`to_json` wrote. Raises KeyError or TypeError for anything else."""
        return cls(
            rules=tuple(value["rules"]),
            groups=tuple(frozenset(each) for each in value["groups"]),
            quorum=value["quorum"],
            expires_s=value["expires_s"],
            remind_s=value["remind_s"],
            on_approval=value["on_approval"],
        )


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """Whether a rule applies to a cell, and why (not), as the rest of a sentence."""

    rule: str
    applies: bool
    why: str


@dataclass(frozen=True, slots=True)
class Explained:
    """What a policy says about a cell: its gate (None: it needs no approval), rule by rule."""

    cell: str
    gate: Gate | None
    rules: tuple[RuleMatch, ...]


def gate(policies: Policies, facts: CellFacts) -> Gate:
    """What the policy asks for before this cell may run in the gated lane."""
    matching = [rule for rule in policies.rules if match(rule, facts).applies]
    if not matching:
        return Gate((), (frozenset({DEFAULT_GROUP}),), 1, DEFAULT_EXPIRY_S)
    approvals = [rule.approve for rule in matching]
    sets = dict.fromkeys(frozenset(each.by) for each in approvals)
    return Gate(
        rules=tuple(rule.name for rule in matching),
        groups=tuple(sets),
        quorum=max(each.quorum for each in approvals),
        expires_s=min(each.expires for each in approvals),
        remind_s=min((each.remind for each in approvals if each.remind is not None), default=None),
        on_approval="hold" if any(rule.on_approval == "hold" for rule in matching) else "run",
    )


def match(rule: Rule, facts: CellFacts) -> RuleMatch:
    """Whether ``rule`` applies to the cell."""
    wanted = rule.match
    unknown = []
    for name, globs, known in (
        ("environment", wanted.environment, (facts.environment,)),
        ("risk", wanted.risk, (facts.risk or "",)),
        ("service", wanted.service, (facts.service,)),
        ("runbook", wanted.runbook, (facts.runbook,)),
        ("tags", wanted.tags, facts.tags),
    ):
        values = tuple(each for each in known if each)
        if not globs:
            continue
        if not values and name != "tags":
            unknown.append(name)
        elif not _any_matches(globs, values):
            shown = ", ".join(values) or "none"
            return RuleMatch(rule.name, False, f"{name} is {shown}, not {' or '.join(globs)}")
    if rule.when is not None:
        try:
            yes, why = applies(rule.when, _names(facts))
        except ValueError:
            yes, why = True, "a parameter is not JSON"
        if not yes:
            return RuleMatch(rule.name, False, why)
    else:
        why = "it matches"
    if unknown:
        why = f"{' and '.join(unknown)} unknown, so it applies"
    return RuleMatch(rule.name, True, why)


def explain(policies: Policies, cells: Iterable[CellFacts]) -> tuple[Explained, ...]:
    """Cell by cell, what would happen and which rule says so."""
    return tuple(
        Explained(facts.cell, gate(policies, facts), tuple(match(r, facts) for r in policies.rules))
        if facts.mode == "gated"
        else Explained(facts.cell, None, ())
        for facts in cells
    )


def _any_matches(globs: Iterable[str], values: tuple[str, ...]) -> bool:
    return any(
        fnmatchcase(value.strip().casefold(), glob.casefold()) for glob in globs for value in values
    )


def _names(facts: CellFacts) -> dict[str, Any]:
    """What the names in a condition stand for.

    What is unknown is left out: a condition that looks at it cannot be evaluated, and applies. As
    null it could be compared, and a rule for production would not apply where nothing is said.

    Raises:
        ValueError: a parameter is not JSON.
    """
    session = {
        "service": facts.service or None,
        "environment": facts.environment or None,
        "severity": facts.severity,
        "tags": list(facts.tags),
        "runbook": facts.runbook or None,
    }
    cell = {"id": facts.cell, "mode": facts.mode, "risk": facts.risk}
    return {
        "session": {name: value for name, value in session.items() if value is not None},
        "cell": {name: value for name, value in cell.items() if value is not None},
        "parameters": {name: json.loads(text) for name, text in facts.parameters.items()},
    }
