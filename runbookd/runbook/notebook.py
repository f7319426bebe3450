"""A runbook read from a notebook file: checked, and frozen as it was read.

Only the structure that a walk needs is asked for (nbformat 4). Outputs, widgets and other
programs' metadata are passed over, so that a notebook which is invalid elsewhere may be walked.
"""

import json
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from runbookd.canonical import sha256
from runbookd.errors import RunbookError
from runbookd.events import CellPlan, Mode, Risk
from runbookd.model import Digest
from runbookd.runbook.headings import as_title, first_line, headings
from runbookd.runbook.links import check_links
from runbookd.runbook.metadata import CellMetadata, NotebookMetadata, Parameter, read_metadata
from runbookd.visible import one_line

MAX_BYTES = 256 * 1024 * 1024
DEFAULT_KERNELSPEC = "python3"
DEFAULT_RISK: Risk = "high"
"""The risk of a gated cell that names none: nobody weighed it, so the strictest rules apply."""

CellKind = Literal["code", "markdown", "raw"]

_MODES: tuple[Mode, ...] = ("read-only", "gated", "manual")
# nbformat 4.5; also what may safely stand in an address or a file name.
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KERNELSPEC = re.compile(r"[A-Za-z0-9._-]{1,200}")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a frozen runbook.

    ``timeout_s`` is in seconds, None for the lane's own. ``mode`` counts only where
    :attr:`is_step` holds. ``rollback``, ``verify`` and ``requires`` are ids of other steps.
    """

    id: str
    kind: CellKind
    source: str
    title: str
    mode: Mode = "read-only"
    risk: Risk | None = None
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    connectors: tuple[str, ...] = ()
    timeout_s: int | None = None
    rollback: str | None = None
    verify: str | None = None
    requires: tuple[str, ...] = ()

    @property
    def is_step(self) -> bool:
        """It is something to do: code that is not blank, or a manual step."""
        return self.mode == "manual" or (self.kind == "code" and bool(self.source.strip()))


@dataclass(frozen=True, slots=True)
class Runbook:
    """A notebook as it was read. ``raw`` is the file's bytes, ``digest`` their SHA-256."""

    path: Path
    title: str
    cells: tuple[Cell, ...]
    raw: bytes = field(repr=False)
    digest: Digest
    service: str = ""
    environment: str = ""
    severity: int | None = None
    tags: tuple[str, ...] = ()
    kernelspec: str = DEFAULT_KERNELSPEC
    parameters: dict[str, Parameter] = field(default_factory=dict)
    connectors: tuple[str, ...] = ()


def read_runbook(path: Path) -> Runbook:
    """The runbook in the notebook file ``path``.

    Raises:
        RunbookError: it cannot be read, is no notebook of format 4 or 3, or its runbookd metadata
            is wrong; names the file, and the cell where there is one.
    """
    raw, notebook = _in_format_4(_read(path), path.name)
    metadata = notebook.get("metadata", {})
    if not isinstance(metadata, dict):
        raise _refused(path.name, "its metadata is no JSON object", "repair the notebook")
    about = read_metadata(NotebookMetadata, metadata.get("runbookd", {}), path.name)
    cells = _cells(notebook.get("cells"), path.name)
    check_links([cell for cell in cells if cell.is_step], path.name)
    return Runbook(
        path=path,
        title=as_title(about.title) or _top_heading(cells) or as_title(path.stem),
        cells=cells,
        raw=raw,
        digest=sha256(raw),
        service=about.service,
        environment=about.environment,
        severity=about.severity,
        tags=about.tags,
        kernelspec=_kernelspec(metadata, path.name),
        parameters=about.parameters,
        connectors=_connectors(about.connectors, cells, path.name),
    )


def plan(runbook: Runbook) -> tuple[CellPlan, ...]:
    """The steps of the walk, in order: code that is not blank, and manual steps."""
    return tuple(
        CellPlan(
            id=cell.id,
            title=cell.title,
            mode=cell.mode,
            source_digest=sha256(cell.source),
            risk=cell.risk,
            requires=cell.requires,
            rollback=cell.rollback,
            verify=cell.verify,
        )
        for cell in runbook.cells
        if cell.is_step
    )


def _refused(where: str, problem: str, hint: str) -> RunbookError:
    return RunbookError(one_line(f"{where}: {problem}", 400), hint)


def _read(path: Path) -> bytes:
    if path.suffix != ".ipynb" or "\0" in str(path):
        raise _refused(path.name, "only .ipynb notebooks can be opened", "name a notebook")
    try:
        # O_NONBLOCK: a FIFO of that name must not hang whoever opens it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            facts = os.fstat(descriptor)
            if not stat.S_ISREG(facts.st_mode):
                raise _refused(path.name, "this is not a regular file", "name a notebook")
            if facts.st_size > MAX_BYTES:
                size = f"{facts.st_size // 2**20} MiB"
                raise _refused(
                    path.name,
                    f"{size} are too many; {MAX_BYTES // 2**20} are allowed",
                    "clear its outputs with `jupyter nbconvert --clear-output --inplace`",
                )
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refused(str(path), os.strerror(error.errno or 0).lower(), "look at it") from None


def _in_format_4(raw: bytes, name: str) -> tuple[bytes, dict[str, Any]]:
    """The notebook and its bytes; one of format 3 as nbformat converts it, ids made up anew."""
    notebook = _parse(raw, name)
    if notebook["nbformat"] == 3:
        # Imported where it is needed: it takes longer than reading a notebook.
        import nbformat
        from traitlets.log import get_logger

        try:
            # It logs what it does not like; people are told in one line of ours.
            get_logger().setLevel("CRITICAL")
            converted = nbformat.reads(raw.decode("utf-8-sig"), as_version=4)
            nbformat.validate(converted)
        except Exception as error:  # noqa: BLE001 - whatever an odd old file makes of it
            problem = f"notebook format 3 that cannot be converted ({type(error).__name__})"
            raise _refused(name, problem, "open and save it in Jupyter") from None
        raw = (nbformat.writes(converted) + "\n").encode()
        notebook = _parse(raw, name)
    if notebook["nbformat"] != 4:
        problem = f"notebook format {notebook['nbformat']}, but 4 is needed"
        raise _refused(name, problem, "save it with a Jupyter that writes format 4")
    return raw, notebook


def _parse(raw: bytes, name: str) -> dict[str, Any]:
    if not raw.strip():
        raise _refused(name, "the file is empty", "restore it, or begin a new notebook")
    try:
        notebook = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise _refused(name, f"line {line} is not UTF-8 text", "save it as UTF-8") from None
    except json.JSONDecodeError as error:
        problem = f"this is not JSON (line {error.lineno}: {error.msg})"
        raise _refused(name, problem, "repair the notebook") from None
    except (ValueError, RecursionError):
        problem = "this JSON is nested too deeply, or holds too long a number"
        raise _refused(name, problem, "repair the notebook") from None
    if not isinstance(notebook, dict) or not isinstance(notebook.get("nbformat"), int):
        raise _refused(name, "this is JSON, but not a notebook", "name a notebook")
    return notebook


def _kernelspec(metadata: dict[str, Any], name: str) -> str:
    spec = metadata.get("kernelspec")
    if spec is None:
        return DEFAULT_KERNELSPEC
    found = spec.get("name") if isinstance(spec, dict) else None
    if not isinstance(found, str) or not _KERNELSPEC.fullmatch(found):
        raise _refused(name, "its kernelspec has no usable name", "choose a kernel and save it")
    return found


def _top_heading(cells: tuple[Cell, ...]) -> str:
    texts = (cell.source for cell in cells if cell.kind == "markdown")
    return next((found[0] for text in texts if (found := headings(text))), "")


def _connectors(named: tuple[str, ...], cells: tuple[Cell, ...], name: str) -> tuple[str, ...]:
    """Those that the notebook names; where it names none, those that its cells use."""
    if not named:
        return tuple(dict.fromkeys(each for cell in cells for each in cell.connectors))
    for at, cell in enumerate(cells, start=1):
        for each in cell.connectors:
            if each not in named:
                raise _refused(
                    f"{name}, cell {at} ({cell.id})",
                    f'the connector "{each}" is not among the notebook\'s connectors',
                    "add it to the notebook's metadata, or correct the cell",
                )
    return named


def _cells(value: Any, name: str) -> tuple[Cell, ...]:
    if not isinstance(value, list):
        raise _refused(name, "it has no list of cells", "repair the notebook")
    found: list[Cell] = []
    places: dict[str, int] = {}
    heading = ""
    for at, raw in enumerate(value, start=1):
        cell = _cell(raw, at, heading, name)
        if cell.id in places:
            problem = f'cells {places[cell.id]} and {at} have the same id "{cell.id}"'
            raise _refused(name, problem, "give one of them another id")
        places[cell.id] = at
        if cell.kind == "markdown" and (titles := headings(cell.source)):
            heading = titles[-1]
        found.append(cell)
    return tuple(found)


def _cell(raw: Any, at: int, heading: str, name: str) -> Cell:
    where = f"{name}, cell {at}"
    if not isinstance(raw, dict):
        raise _refused(where, "it is no JSON object", "repair the notebook")
    kind, metadata = raw.get("cell_type"), raw.get("metadata", {})
    if kind not in ("code", "markdown", "raw"):
        raise _refused(where, f"unknown cell type {kind!r}", "repair the notebook")
    if not isinstance(metadata, dict):
        raise _refused(where, "its metadata is no JSON object", "repair the notebook")
    source = _source(raw.get("source", ""), where)
    cell_id = raw.get("id")
    if cell_id is None:
        # Stable from one read to the next, as long as the cell stays where and what it is.
        cell_id = f"cell-{at}-{sha256(source)[:8]}"
    elif not isinstance(cell_id, str) or not _ID.fullmatch(cell_id):
        problem = f"the id {cell_id!r} is not 1 to 64 of A-Z a-z 0-9 - _"
        raise _refused(where, problem, "repair the notebook")
    where = f"{where} ({cell_id})"
    about = read_metadata(CellMetadata, metadata.get("runbookd", {}), where)
    mode = _mode(about, metadata.get("tags", []), kind, where)
    if mode != "gated":
        for key in ("risk", "inputs", "outputs"):
            if getattr(about, key):
                problem = f'"{key}" is only for gated cells, and this one is {mode}'
                raise _refused(where, problem, 'add "mode": "gated", or take it out')
    own_headings = headings(source) if kind == "markdown" else ()
    inherited = own_headings[0] if own_headings else heading
    return Cell(
        id=cell_id,
        kind=kind,
        source=source,
        title=as_title(about.title) or inherited or first_line(source) or f"cell {at}",
        mode=mode,
        risk=about.risk or (DEFAULT_RISK if mode == "gated" else None),
        inputs=about.inputs,
        outputs=about.outputs,
        connectors=about.connectors,
        timeout_s=about.timeout,
        rollback=about.rollback,
        verify=about.verify,
        requires=about.requires,
    )


def _source(value: Any, where: str) -> str:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "".join(value)
    if not isinstance(value, str):
        raise _refused(where, "its source is no text", "repair the notebook")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        problem = "its source holds half of a character (a lone surrogate)"
        raise _refused(where, problem, "retype that character") from None
    return value


def _mode(about: CellMetadata, tags: Any, kind: CellKind, where: str) -> Mode:
    """The cell's mode, from its metadata or its tags. Both may say it, if they agree."""
    tagged = [mode for mode in _MODES if isinstance(tags, list) and mode in tags]
    said = list(dict.fromkeys([*([about.mode] if about.mode else []), *tagged]))
    if len(said) > 1:
        raise _refused(where, f"it is both {said[0]} and {said[1]}", "decide on one mode")
    mode = said[0] if said else "read-only"
    if said and kind != "code" and not (kind == "markdown" and mode == "manual"):
        raise _refused(where, f"a {kind} cell cannot be {mode}", "make it code, or take that out")
    return mode
