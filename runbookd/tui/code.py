"""Source code as lines with its syntax in colour."""

from functools import lru_cache
from typing import Any

from runbookd.tui.rows import TAB, Line, Run, Span

_TONES = (
    ("Token.Keyword", "keyword"),
    ("Token.Operator.Word", "keyword"),
    ("Token.Literal.String", "string"),
    ("Token.Literal.Number", "number"),
    ("Token.Comment", "comment"),
    ("Token.Name.Function", "name"),
    ("Token.Name.Class", "name"),
    ("Token.Name.Decorator", "name"),
    ("Token.Name.Builtin", "builtin"),
)


def plain_code(source: str, *, lead: tuple[Run, ...] = (), fill: str | None = None) -> list[Line]:
    """The lines of filtered source without colours: enough to know how many rows it takes."""
    return [Line(part.expandtabs(TAB), "text", (), lead, fill) for part in source.split("\n")]


def coloured_code(
    source: str, language: str, *, lead: tuple[Run, ...] = (), fill: str | None = None
) -> list[Line]:
    """The lines of filtered source in colours; what the lexer would change stays plain."""
    expanded = "\n".join(part.expandtabs(TAB) for part in source.split("\n"))
    tokens = _tokens(expanded, language)
    if "".join(text for _, text in tokens) != expanded:
        return plain_code(source, lead=lead, fill=fill)
    found: list[Line] = []
    text = ""
    spans: list[Span] = []
    for kind, token in tokens:
        tone = _tone(str(kind))
        for at, part in enumerate(token.split("\n")):
            if at:
                found.append(Line(text, "text", tuple(spans), lead, fill))
                text, spans = "", []
            if part and tone:
                spans.append((len(text), len(text) + len(part), tone))
            text += part
    found.append(Line(text, "text", tuple(spans), lead, fill))
    return found


def _tokens(source: str, language: str) -> list[tuple[Any, str]]:
    lexer = _lexer(language)
    return [] if lexer is None else list(lexer.get_tokens(source))


@lru_cache(maxsize=8)
def _lexer(language: str) -> Any:
    # Pygments takes 30 ms to import, which the first paint of a screen without code need not pay.
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]
    from pygments.util import ClassNotFound  # type: ignore[import-untyped]

    try:
        return get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


@lru_cache(maxsize=256)
def _tone(kind: str) -> str:
    return next((tone for prefix, tone in _TONES if kind.startswith(prefix)), "")
