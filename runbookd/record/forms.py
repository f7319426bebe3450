"""The forms that a known secret takes when a program prints it.

A secret seldom appears as it is: it is encoded in a header, quoted in JSON, escaped in a URL, shown
by ``repr``. Each form here is a plain string to look for.
"""

import base64
import html
import json
from urllib.parse import quote, quote_plus

MIN_SECRET = 6
"""A shorter value would be found everywhere, so it cannot be redacted."""


def forms(value: str) -> frozenset[str]:
    """Every form of ``value`` that is looked for, each at least :data:`MIN_SECRET` long.

    Args:
        value: the secret, at least :data:`MIN_SECRET` characters.
    """
    raw = value.encode("utf-8", "surrogatepass")
    escaped = {json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
    found = {
        value,
        *escaped,
        # JSON inside JSON, as in a notebook that prints one.
        *(json.dumps(text)[1:-1] for text in escaped),
        repr(value)[1:-1],
        repr(raw)[2:-1],
        html.escape(value),
        html.escape(value, quote=False),
        *_url_forms(raw),
        raw.hex(),
        raw.hex().upper(),
        *_base64_forms(raw),
    }
    return frozenset(form for form in found if len(form) >= MIN_SECRET)


def _url_forms(raw: bytes) -> set[str]:
    found = {quote(raw, safe=""), quote(raw), quote_plus(raw), "".join(f"%{b:02X}" for b in raw)}
    return found | {_lower_escapes(form) for form in found}


def _lower_escapes(quoted: str) -> str:
    head, *rest = quoted.split("%")
    return head + "".join(f"%{part[:2].lower()}{part[2:]}" for part in rest)


def _base64_forms(raw: bytes) -> set[str]:
    """The secret inside base64 of something longer, at each of the three alignments.

    Three bytes become four characters, so what a secret becomes depends on where it begins, and
    its first and last character also depend on its neighbours. Those are left out.
    """
    found: set[str] = set()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + raw).decode("ascii")
        first = -(-before * 8 // 6)
        last = (before + len(raw)) * 8 // 6
        found.add(encoded[first:last])
    return found | {form.replace("+", "-").replace("/", "_") for form in found}
