"""The one filter for text from outside, applied where it enters a screen or a message.

Whatever comes from a kernel, a notebook, Slack or another person may hold control sequences that
move the cursor, set the clipboard or hide what stands there. Nothing is dropped: every control,
bidi and invisible character becomes a visible glyph or escape. Colours (SGR) may be kept.
"""

import re
import unicodedata

_SGR = re.compile(r"\x1b\[[0-9;:]*m")
_KEEP = {"\n", "\t"}


def _is_hidden(char: str) -> bool:
    category = unicodedata.category(char)
    # Cc control, Cf format (bidi, zero width, tags, soft hyphen), Cs surrogate, Co private use,
    # Zl and Zp: separators that some terminals break lines at.
    return category in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} or char in "\u115f\u1160\u3164\uffa0"


def glyph(char: str) -> str:
    """How one hidden character is shown: Unicode's control pictures, else ``\\u{hex}``."""
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return f"\\u{{{code:x}}}"


def visible(text: str, *, keep_sgr: bool = False) -> str:
    """``text`` with every hidden character shown; line feeds and tabs stay.

    Args:
        text: anything.
        keep_sgr: leave complete colour sequences (CSI … m) in, for a widget that understands them.
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    if not keep_sgr:
        return "".join(
            char if char in _KEEP or not _is_hidden(char) else glyph(char) for char in text
        )
    parts: list[str] = []
    end = 0
    for found in _SGR.finditer(text):
        parts.append(visible(text[end : found.start()]))
        parts.append(found.group())
        end = found.end()
    parts.append(visible(text[end:]))
    return "".join(parts)


def one_line(text: str, limit: int = 200) -> str:
    """``text`` as a single visible line of at most ``limit`` characters, cut with an ellipsis."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
