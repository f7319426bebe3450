"""The chokepoint: every event on its way into the record passes here and loses its secrets.

All text of an event is redacted, wherever it stands, keys of free-form objects included. Left as
they are: digests, and the few fields that runbookd itself fills with names that lines refer to
each other by, with signatures and with times. Those are listed here one by one, by class, so that
a field which somebody adds later is redacted until it is listed.
"""

import re
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from runbookd.events import (
    AdhocStartedData,
    CellPlan,
    CheckpointData,
    ClaimedData,
    ConnectorData,
    Content,
    DecidedData,
    DriverData,
    Event,
    FinishedData,
    KernelGoneData,
    KernelStartedData,
    OpenedData,
    OutputData,
    PolicyRef,
    RecoveredData,
    RefusedData,
    RequestedData,
    RevokedData,
    StartedData,
)
from runbookd.model import Digest
from runbookd.record.redaction import Redactor

KEPT: Mapping[type[BaseModel], frozenset[str]] = {
    CheckpointData: frozenset({"note"}),
    OpenedData: frozenset({"vkey", "previous"}),
    PolicyRef: frozenset({"files"}),
    CellPlan: frozenset({"id", "requires", "rollback", "verify"}),
    Content: frozenset({"mime"}),
    KernelStartedData: frozenset({"kernel"}),
    KernelGoneData: frozenset({"kernel"}),
    StartedData: frozenset({"execution"}),
    AdhocStartedData: frozenset({"execution"}),
    OutputData: frozenset({"execution"}),
    FinishedData: frozenset({"execution"}),
    ConnectorData: frozenset({"execution"}),
    RecoveredData: frozenset({"executions"}),
    DriverData: frozenset({"person"}),
    RequestedData: frozenset({"requester", "groups", "rules", "expires_at"}),
    DecidedData: frozenset({"person"}),
    RefusedData: frozenset({"person"}),
    RevokedData: frozenset({"superseded_by"}),
    ClaimedData: frozenset({"execution"}),
}
"""Fields that are not redacted, besides digests and literals."""

_Model = TypeVar("_Model", bound=BaseModel)

_SURROGATE = re.compile("[\ud800-\udfff]")
_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


def scrubbed(event: Event, redactor: Redactor) -> tuple[Event, tuple[str, ...]]:
    """``event`` without secrets, and the sorted names of the rules that fired.

    A lone surrogate, which a kernel can send but UTF-8 cannot hold, becomes U+FFFD.
    """
    work = _Scrub(redactor)
    changes: dict[str, Any] = {"data": work.model(event.data)}
    for name in ("cell", "request"):
        value = getattr(event, name)
        changes[name] = None if value is None else without_surrogates(value)
    return event.model_copy(update=changes), tuple(sorted(work.fired))


def without_surrogates(text: str) -> str:
    """``text`` with U+FFFD in the place of every lone surrogate."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


class _Scrub:
    """One pass over one event."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.fired: set[str] = set()

    def model(self, value: _Model) -> _Model:
        kept = _kept(type(value))
        changes = {
            name: _well_formed(getattr(value, name))
            if name in kept
            else self.value(getattr(value, name))
            for name in type(value).model_fields
        }
        return value.model_copy(update=changes)

    def value(self, value: Any) -> Any:
        match value:
            case str():
                return self.text(value)
            case BaseModel():
                return self.model(value)
            case Mapping():
                return self.mapping(value)
            case list() | tuple():
                return type(value)([self.value(item) for item in value])
            case _:
                return value

    def text(self, text: str) -> str:
        clean, rules = self._redactor.text(without_surrogates(text))
        self.fired.update(rules)
        return clean

    def mapping(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        clean: dict[Any, Any] = {}
        for key, item in value.items():
            name = self.text(key) if isinstance(key, str) else key
            while name in clean:
                # Two secrets as keys became the same mark; neither value may be lost.
                name = f"{name}'"
            clean[name] = item if self._is_digest(name, item) else self.value(item)
        return clean

    def _is_digest(self, key: Any, item: Any) -> bool:
        """Whether this is a digest in a free-form object, such as an approval's document.

        A known secret of that very shape is still a secret.
        """
        return (
            isinstance(key, str)
            and (key == "digest" or key.endswith("_digest"))
            and isinstance(item, str)
            and _HEX_DIGEST.fullmatch(item) is not None
            and not self._redactor.holds(item)
        )


def _well_formed(value: Any) -> Any:
    match value:
        case str():
            return without_surrogates(value)
        case tuple():
            return tuple(_well_formed(item) for item in value)
        case _:
            return value


@cache
def _kept(model: type[BaseModel]) -> frozenset[str]:
    hints = get_type_hints(model, include_extras=True)
    fixed = {name for name in model.model_fields if _is_fixed(hints[name])}
    return KEPT.get(model, frozenset()) | fixed


def _is_fixed(hint: Any) -> bool:
    """Whether a type leaves no room for a secret: a digest, or one of a few words, or None."""
    if hint is NoneType or hint == Digest or get_origin(hint) is Literal:
        return True
    return get_origin(hint) in {Union, UnionType} and all(map(_is_fixed, get_args(hint)))
