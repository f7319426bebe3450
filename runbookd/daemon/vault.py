"""The secrets that the daemon has seen: resolved by reference, redacted from then on."""

import base64
import binascii
import re
import weakref

import structlog

from runbookd.policy.model import Policies
from runbookd.record.redaction import MIN_SECRET, Redactor
from runbookd.secrets import parse_secret_ref, resolve

# Not an address, whose path is no secret.
_USER_AND_PASSWORD = re.compile(r"[^\s:/]+:(?!//)\S+")
_log = structlog.get_logger(__name__)


class Vault:
    """Resolves references and tells every redactor of the daemon what must not be shown."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._redactors: weakref.WeakSet[Redactor] = weakref.WeakSet()

    async def resolve(self, reference: str) -> str:
        """The value behind a reference.

        Raises:
            SecretUnavailable: it cannot be had; names the reference, never the value.
        """
        secret = (await resolve(parse_secret_ref(reference))).get_secret_value()
        self.learn(reference.partition(":")[0], secret)
        return secret

    def learn(self, rule: str, secret: str) -> None:
        """Have ``secret``, and what a header with it gives away, redacted from now on."""
        for value in _parts(secret):
            if len(value) >= MIN_SECRET and value not in self._known:
                self._known[value] = rule
                for redactor in self._redactors:
                    redactor.add(rule, value)
            elif value and len(value) < MIN_SECRET and value == secret:
                _log.warning("secret.too_short_to_redact", kind=rule)

    def redactor(self, policies: Policies) -> Redactor:
        """A redactor that knows all secrets, those to come included."""
        made = Redactor({}, [("policy", pattern) for pattern in policies.redaction.patterns])
        for value, rule in self._known.items():
            made.add(rule, value)
        self._redactors.add(made)
        return made


def _parts(secret: str) -> set[str]:
    """A header's value, and the token or password inside it (RFC 6750, RFC 7617).

    ``user:password``, which becomes such a header, gives away its password.
    """
    scheme, _, credentials = secret.partition(" ")
    parts = {secret, credentials}
    if _USER_AND_PASSWORD.fullmatch(secret):
        parts.add(secret.partition(":")[2])
    if scheme.lower() == "basic":
        try:
            decoded = base64.b64decode(credentials, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return parts
        parts |= {decoded, decoded.partition(":")[2]}
    return parts
