"""The beginnings of sources and outputs, from the line, the notebook or the blobs.

A text that is not there, or is not what its digest says, becomes a statement of that and never
an error: a draft of a damaged record is better than none.
"""

import codecs
from collections.abc import Callable, Mapping
from typing import Any

from runbookd.canonical import sha256
from runbookd.events import Content
from runbookd.model import Digest
from runbookd.postmortem.document import Attachment, Excerpt

SOURCE_CHARS = 20_000
OUTPUT_CHARS = 4_000
"""How much of one output a draft shows."""
RUN_CHARS = 16_000
"""How much of all outputs of one execution a draft shows."""

MISSING = "missing from the folder"
ALTERED = "not what its digest says"

_BYTES_PER_CHAR = 4
_READABLE = ("text/plain", "text/markdown", "application/json")


class Gatherer:
    """Collects the pieces of one text up to a number of characters, and counts the rest."""

    def __init__(self, texts: "Texts", limit: int) -> None:
        self._texts = texts
        self._left = limit
        self._parts: list[str] = []
        self._total = 0
        self._shown = 0
        self._blobs: list[Digest] = []
        self._problems: list[str] = []

    @property
    def chars(self) -> int:
        """How many characters were kept."""
        return sum(map(len, self._parts))

    def add(self, content: Content) -> None:
        """Append a piece; blobs are only read while there is room."""
        if content.text is not None:
            size, text = len(content.text.encode("utf-8", "replace")), content.text
        elif content.blob is None:
            self._problems.append("not recorded")
            return
        else:
            size, text = content.bytes, ""
            data, problem = None, ""
            if self._left > 0:
                data, problem = self._texts.blob(content.blob)
            if problem:
                self._problems.append(problem)
            elif content.blob not in self._blobs:
                self._blobs.append(content.blob)
            if data is not None:
                size, text = len(data), _beginning(data, self._left)
        self._total += size
        kept = text[: self._left]
        self._left -= len(kept)
        if kept:
            self._parts.append(kept)
            self._shown += len(kept.encode("utf-8", "replace"))

    def excerpt(self) -> Excerpt:
        """What was collected."""
        problems = tuple(dict.fromkeys(self._problems))
        return Excerpt(
            text=None if problems and not self._parts else "".join(self._parts),
            total_bytes=self._total,
            cut_bytes=max(0, self._total - self._shown),
            blobs=tuple(self._blobs),
            problems=problems,
        )


class Texts:
    """Where the texts of a session are.

    Args:
        read_blob: the bytes of a blob; raises OSError when it is not there.
        notebook: the frozen notebook as JSON, None when it is not there.
    """

    def __init__(
        self, read_blob: Callable[[Digest], bytes], notebook: Mapping[str, Any] | None
    ) -> None:
        self._read_blob = read_blob
        self._sources = {sha256(source): source for source in _sources(notebook)}

    def source(self, digest: Digest) -> Excerpt:
        """The source with this digest: a cell of the notebook, else a blob."""
        known = self._sources.get(digest)
        if known is not None:
            return self.inline(known, SOURCE_CHARS)
        data, problem = self.blob(digest)
        if data is None:
            return Excerpt(text=None, problems=(problem,))
        text = _beginning(data, SOURCE_CHARS)
        cut = max(0, len(data) - len(text.encode("utf-8", "replace")))
        return Excerpt(text=text, total_bytes=len(data), cut_bytes=cut, blobs=(digest,))

    def inline(self, text: str, limit: int) -> Excerpt:
        """A text that stands in the record or in the notebook."""
        total = len(text.encode("utf-8", "replace"))
        kept = text[:limit]
        cut = total - len(kept.encode("utf-8", "replace"))
        return Excerpt(text=kept, total_bytes=total, cut_bytes=cut)

    def blob(self, digest: Digest) -> tuple[bytes | None, str]:
        """The bytes of a blob, or None and why there are none."""
        try:
            data = self._read_blob(digest)
        except OSError:
            return None, f"{blob_path(digest)} is {MISSING}"
        if sha256(data) != digest:
            return None, f"{blob_path(digest)} is {ALTERED}"
        return data, ""

    def attachment(self, content: Content) -> Attachment:
        """A representation that is named, with what is wrong with its blob."""
        problem = "" if content.blob is None else self.blob(content.blob)[1]
        return Attachment(content.mime, content.bytes, content.blob, problem)


def readable(contents: tuple[Content, ...]) -> Content | None:
    """The representation that a person can read as plain text, or None."""
    for mime in _READABLE:
        for content in contents:
            if content.mime == mime:
                return content
    return None


def blob_path(digest: Digest) -> str:
    """Where a blob is, seen from the session's folder."""
    return f"blobs/sha256/{digest}"


def _beginning(data: bytes, chars: int) -> str:
    # An incremental decoder leaves a character that the cut goes through out.
    head = data[: chars * _BYTES_PER_CHAR]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return decoder.decode(head, final=len(head) == len(data))[:chars]


def _sources(notebook: Mapping[str, Any] | None) -> list[str]:
    cells = notebook.get("cells") if notebook else None
    found: list[str] = []
    for cell in cells if isinstance(cells, list) else []:
        source = cell.get("source") if isinstance(cell, dict) else None
        if isinstance(source, list):
            source = "".join(part for part in source if isinstance(part, str))
        if isinstance(source, str):
            found.append(source)
    return found
