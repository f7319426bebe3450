"""The frozen notebook as the screens show it: cells in their order, filtered, nothing executed.

The daemon validated the notebook when the session opened; this only reads what is there, and takes
whatever has the wrong shape for absent.
"""

from dataclasses import dataclass
from typing import Any, Literal

from runbookd.tui.rows import filtered
from runbookd.visible import one_line


@dataclass(frozen=True, slots=True)
class NotebookCell:
    """A cell. The tuples and names come from its ``runbookd`` metadata."""

    id: str
    kind: Literal["markdown", "code", "raw"]
    source: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    connectors: tuple[str, ...] = ()
    timeout: str = ""


@dataclass(frozen=True, slots=True)
class Notebook:
    """The cells, and the language that code cells are written in (a lexer's name, or empty)."""

    cells: tuple[NotebookCell, ...] = ()
    language: str = ""


def read_notebook(document: dict[str, Any]) -> Notebook:
    """The notebook of an ``.ipynb`` document (nbformat 4)."""
    cells = document.get("cells")
    return Notebook(
        tuple(_cell(cell) for cell in cells if isinstance(cell, dict))
        if isinstance(cells, list)
        else (),
        _language(_dict(document.get("metadata"))),
    )


def _cell(cell: dict[str, Any]) -> NotebookCell:
    source = cell.get("source", "")
    if isinstance(source, list):
        source = "".join(str(part) for part in source)
    own = _dict(_dict(cell.get("metadata")).get("runbookd"))
    kind = cell.get("cell_type")
    return NotebookCell(
        id=str(cell.get("id", "")),
        kind=kind if kind in {"markdown", "code"} else "raw",
        source=filtered(str(source).replace("\r\n", "\n")),
        inputs=_names(own.get("inputs")),
        outputs=_names(own.get("outputs")),
        connectors=_names(own.get("connectors")),
        timeout=one_line(str(own.get("timeout", "")), 20),
    )


def _language(metadata: dict[str, Any]) -> str:
    found = _dict(metadata.get("language_info")).get("name") or _dict(
        metadata.get("kernelspec")
    ).get("language")
    return str(found) if found else "python"


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _names(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict | list | tuple):
        return tuple(one_line(str(name), 80) for name in value)
    return ()
