"""Writes a postmortem draft as Markdown that GitHub, GitLab and others render alike."""

from collections.abc import Iterable, Sequence
from typing import Any

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from runbookd.model import JsonText
from runbookd.postmortem.document import Document, Excerpt, Refs
from runbookd.postmortem.inert import Md, code_span, fence, inline, quote
from runbookd.postmortem.texts import blob_path
from runbookd.postmortem.wording import duration, moment, offset

TEMPLATE = "postmortem.md.j2"

# Others (mermaid, math, geojson) are drawn instead of shown.
_LANGUAGES = frozenset({"bash", "python", "sql"})
_CITED = 8
_NAMED = 3


def markdown(document: Document) -> str:
    """The draft as Markdown; the same document gives the same text.

    Whatever the template puts out is made inert unless one of its filters made it Markdown.
    """
    environment = SandboxedEnvironment(
        loader=PackageLoader("runbookd.postmortem"),
        undefined=StrictUndefined,
        finalize=_inert,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        {
            "cite": cite,
            "blob": lambda digest: code_span(blob_path(digest)),
            "code": code_span,
            "duration": duration,
            "excerpt": excerpt,
            "fence": fence,
            "listing": listing,
            "moment": moment,
            "offset": lambda ms: Md(offset(ms)),
            "quote": quote,
            "source": lambda shown: excerpt(shown, _language(document.language)),
        }
    )
    return environment.get_template(TEMPLATE).render(doc=document)


def cite(refs: Refs) -> Md:
    """Record numbers: ``[#3] [#7] to [#9]``, in code so that nobody's issues are linked.

    Runs of neighbouring numbers are drawn together; of very many, the first ones and the last are
    given, and how many lie between.
    """
    spans: list[tuple[int, int]] = []
    for ref in sorted(set(refs)):
        if spans and ref == spans[-1][1] + 1:
            spans[-1] = (spans[-1][0], ref)
        else:
            spans.append((ref, ref))
    if len(spans) > _CITED:
        left_out = sum(last - first + 1 for first, last in spans[_CITED - 1 : -1])
        shown = [_span(span) for span in spans[: _CITED - 1]]
        return Md(f"{' '.join(shown)} ({left_out} more) {_span(spans[-1])}")
    return Md(" ".join(_span(span) for span in spans))


def excerpt(shown: Excerpt, language: str = "text") -> Md:
    """A text in a fence, and below it what is cut, where the whole stands, and what is wrong."""
    parts: list[str] = []
    if shown.text is not None and (shown.text or not shown.cut_bytes):
        parts.append(fence(shown.text, language) if shown.text else "_empty_")
    remarks: list[str] = []
    if shown.cut_bytes:
        remarks.append(f"**Cut:** {shown.cut_bytes} of {shown.total_bytes} bytes are not shown")
    if shown.cut_bytes and shown.blobs:
        remarks.append(f"whole in {_some([blob_path(blob) for blob in shown.blobs])}")
    if shown.problems:
        remarks.append(f"**Not whole:** {_some(shown.problems)}")
    if remarks:
        parts.append("; ".join(remarks))
    return Md("\n\n".join(parts))


def listing(values: Iterable[tuple[str, JsonText]]) -> Md:
    """Names with their values, one a line."""
    return fence("\n".join(f"{name}: {value}" for name, value in values))


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return ", ".join(inline(text) for text in texts[:_NAMED]) + more


def _span(span: tuple[int, int]) -> str:
    first, last = span
    if first == last:
        return f"`[#{first}]`"
    return f"`[#{first}]`{' to ' if last > first + 1 else ' '}`[#{last}]`"


def _language(name: str) -> str:
    return name if name in _LANGUAGES else "text"


def _inert(value: Any) -> str:
    if isinstance(value, Md):
        return value
    if value is None:
        return "_not recorded_"
    return inline(str(value))
