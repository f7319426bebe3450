"""Taking secrets out of text: known values in every usual form, and well-known kinds of tokens.

A place where something was taken out reads ``[redacted:rule]``. Places that overlap become one
mark, so that no rest of a longer secret stands beside the mark of a shorter one.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from runbookd.errors import InputError
from runbookd.record.forms import MIN_SECRET as MIN_SECRET
from runbookd.record.forms import forms
from runbookd.record.patterns import Pattern, compile_pattern

_MARK = re.compile(r"\[redacted:([ -Z^-~]{1,200})\]")
_NOT_IN_A_MARK = re.compile(r"[^ -Z^-~]")
_MAX_RULE = 200
_REACH = 32 * 1024
_KEY_BODY = r"[A-Za-z0-9+/=\s:,.\\-]"

KNOWN_TOKENS: tuple[tuple[str, str], ...] = (
    ("slack-token", r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}"),
    ("slack-app-token", r"xapp-[0-9]-[A-Za-z0-9-]{10,}"),
    (
        "slack-webhook",
        r"hooks\.slack\.com/(?:services|actions|commands|workflows|triggers)/[A-Za-z0-9/_-]{10,}",
    ),
    ("aws-key-id", r"A(?:KIA|SIA)[A-Z0-9]{16}"),
    ("aws-secret", r"aws_secret_access_key[\"']?\s{0,8}[=:]\s{0,8}[\"']?[A-Za-z0-9/+=]{40}"),
    ("github-token", r"gh[pousr]_[A-Za-z0-9]{36,}"),
    ("github-token", r"github_pat_[A-Za-z0-9_]{22,}"),
    ("gitlab-token", r"glpat-[A-Za-z0-9_-]{20,}"),
    ("vault-token", r"hv[sb]\.[A-Za-z0-9_-]{24,}"),
    ("google-api-key", r"AIza[A-Za-z0-9_-]{35}"),
    ("stripe-key", r"[sr]k_(?:live|test)_[A-Za-z0-9]{16,}"),
    ("npm-token", r"npm_[A-Za-z0-9]{36}"),
    ("pypi-token", r"pypi-AgE[A-Za-z0-9_-]{50,}"),
    ("api-key", r"\bsk-[A-Za-z0-9_-]{20,}"),
    ("jwt", r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*"),
    (
        "authorization",
        r"[Aa](?i:uthorization)[\"']?\s{0,8}[:=]\s{0,8}[\"']?"
        r"(?:(?i:bearer|basic|token|digest|negotiate|apikey)\s{1,8}[A-Za-z0-9._~+/=-]{6,}"
        r"|[A-Za-z0-9._~+/=-]{16,})",
    ),
    ("bearer", r"[Bb](?:earer|EARER)\s{1,8}[A-Za-z0-9._~+/=-]{16,}"),
    # Where a kernel finds its connectors. Whoever knows it may use them while the kernel lives.
    ("connector-address", r"127\.0\.0\.1:[0-9]{1,5}/[A-Za-z0-9_-]{43}"),
    ("url-password", r"://[^\s:/@]{0,256}:[^\s/@]{1,1024}@"),
    (
        "private-key",
        r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
        # Up to its end; or, when it was cut off, whatever could still be its body.
        rf"(?:{_KEY_BODY}{{0,16384}}?-----END [A-Z0-9 ]{{0,80}}-----|{_KEY_BODY}{{0,16384}})",
    ),
)
"""The built-in patterns: (rule, regular expression)."""


@dataclass(frozen=True, slots=True)
class _Span:
    start: int
    end: int
    rule: str


class Redactor:
    """Knows the secrets and what secrets look like.

    Args:
        secrets: rule name -> value. The name is shown in marks, so it must not be secret: the
            reference under which the policy knows the secret serves well. What cannot stand in a
            mark (brackets, anything but printable ASCII) becomes ``_``.
        patterns: further (rule name, regular expression) beside :data:`KNOWN_TOKENS`; see
            :mod:`runbookd.record.patterns` for what is understood.

    Raises:
        InputError: a value is shorter than 6 characters, which would be found everywhere (it is
            refused rather than ignored, since the caller counts on it); a pattern cannot be used.
            The message never holds the value.
    """

    def __init__(
        self,
        secrets: Mapping[str, str] | None = None,
        patterns: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._rules: dict[str, str] = {}
        self._forms: tuple[str, ...] = ()
        self._longest = 0
        self._patterns = (*_known_patterns(), *(_pattern(rule, text) for rule, text in patterns))
        for rule, value in (secrets or {}).items():
            self.add(rule, value)

    def add(self, rule: str, value: str) -> None:
        """Learn one more secret. Streams that are open know it from their next piece on.

        White space around the value does not count, since a file ends in a line feed that nobody
        prints. Adding a value twice keeps the first rule.

        Raises:
            InputError: as for the class.
        """
        rule = _rule_name(rule)
        value = value.strip()
        if len(value) < MIN_SECRET:
            raise InputError(
                f"the secret {rule} is shorter than {MIN_SECRET} characters, so it cannot be kept "
                "out of the record",
                "use a longer one",
            )
        rules = dict(self._rules)
        for form in forms(value):
            rules.setdefault(form, rule)
        # Replaced, never changed: another thread may be reading.
        self._rules, self._forms, self._longest = rules, tuple(sorted(rules)), max(map(len, rules))

    @property
    def rules(self) -> frozenset[str]:
        """The names of all rules."""
        return frozenset({*self._rules.values(), *(pattern.rule for pattern in self._patterns)})

    def text(self, text: str) -> tuple[str, tuple[str, ...]]:
        """``text`` without secrets, and the sorted names of the rules that took something out.

        A mark that a stream left there counts too, so the second pass over a text names the same
        rules as the first.
        """
        spans = self.spans(text)
        fired = {span.rule for span in spans}
        if "[redacted:" in text:
            fired |= self.rules.intersection(_MARK.findall(text))
        return _marked(text, 0, len(text), spans), tuple(sorted(fired))

    def beginning(self, text: str, length: int) -> str:
        """At most ``length`` characters of ``text`` without secrets, cut only after these are out.

        Where ``text`` is so long that not all of it is looked at, what could be the beginning of a
        secret there is left out.
        """
        stream, reach = self.stream(), length + _REACH
        clean = stream.feed(text[:reach])
        if len(text) <= reach:
            clean += stream.flush()
        return clean[:length]

    def stream(self) -> "StreamRedactor":
        """For one text that comes in pieces."""
        return StreamRedactor(self)

    def holds(self, value: str) -> bool:
        """Whether ``value`` as a whole is one of the forms of a known secret."""
        return value in self._rules

    def spans(self, text: str, begin: int = 0) -> list[_Span]:
        """Every place in ``text`` from ``begin`` on that a rule matches; they may overlap."""
        found = [span for pattern in self._patterns for span in _matches(pattern, text, begin)]
        for form, rule in self._rules.items():
            at = text.find(form, begin)
            while at >= 0:
                found.append(_Span(at, at + len(form), rule))
                at = text.find(form, at + 1)
        found.sort(key=lambda span: (span.start, -span.end))
        return found

    def unsettled(self, text: str, begin: int) -> int:
        """Where the part of ``text`` behind ``begin`` starts that may become a secret."""
        hold = len(text)
        for pattern in self._patterns:
            found = pattern.partial.search(text, max(begin, len(text) - pattern.width))
            if found:
                hold = min(hold, found.start())
        for at in range(max(begin, len(text) - self._longest + 1), hold):
            rest = text[at:]
            next_form = bisect_left(self._forms, rest)
            if next_form < len(self._forms) and self._forms[next_form].startswith(rest):
                return at
        return hold


class StreamRedactor:
    """Redacts a text that comes in pieces, as :meth:`Redactor.text` would redact it whole.

    Only what may still become a secret is held back: nothing, most of the time.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        # What is held back, behind the one character that came before it (for word borders).
        self._before = ""
        self._held = ""

    def feed(self, text: str) -> str:
        """What may be shown of everything so far, and was not returned yet."""
        return self._release(self._held + text, last=False)

    def flush(self) -> str:
        """The rest: no more text will come."""
        return self._release(self._held, last=True)

    def _release(self, text: str, *, last: bool) -> str:
        begin = len(self._before)
        text = self._before + text
        spans = self._redactor.spans(text, begin)
        cut = len(text) if last else self._redactor.unsettled(text, begin)
        # A place that reaches into what is held back waits with it: the two may become one.
        for span in reversed(spans):
            if span.start < cut < span.end:
                cut = span.start
        done = [span for span in spans if span.end <= cut]
        self._held = text[cut:]
        if cut > begin:
            self._before = text[cut - 1]
        return _marked(text, begin, cut, done)


def _marked(text: str, begin: int, end: int, spans: Iterable[_Span]) -> str:
    """``text[begin:end]`` with a mark for every group of overlapping spans."""
    parts: list[str] = []
    at = begin
    group_end = begin
    for span in spans:
        if span.start >= group_end:
            parts += [text[at : span.start], f"[redacted:{span.rule}]"]
        group_end = max(group_end, span.end)
        at = group_end
    parts.append(text[at:end])
    return "".join(parts)


def _matches(pattern: Pattern, text: str, begin: int) -> Iterator[_Span]:
    for found in pattern.full.finditer(text, begin):
        yield _Span(found.start(), found.end(), pattern.rule)


@cache
def _known_patterns() -> tuple[Pattern, ...]:
    return tuple(compile_pattern(rule, text) for rule, text in KNOWN_TOKENS)


def _pattern(rule: str, text: str) -> Pattern:
    return compile_pattern(_rule_name(rule), text)


def _rule_name(text: str) -> str:
    """A rule's name as it can stand in a mark: printable ASCII without brackets, not too long."""
    return _NOT_IN_A_MARK.sub("_", text)[:_MAX_RULE] or "secret"
