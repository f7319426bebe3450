"""Notebooks of format 3: converted when they are opened, and frozen as converted."""

import json
from pathlib import Path

import pytest

from runbookd.canonical import sha256
from runbookd.errors import RunbookError
from runbookd.runbook.notebook import plan, read_runbook

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def test_a_notebook_of_format_3_opens_as_nbformat_converts_it() -> None:
    runbook = read_runbook(NOTEBOOKS / "format-3-with-cells.ipynb")
    assert runbook.title == "Old but walkable"
    [step] = plan(runbook)
    assert step.mode == "read-only"
    [source] = [cell.source for cell in runbook.cells if cell.id == step.id]
    assert source == "print('from another age')"


def test_what_is_frozen_of_it_is_format_4_and_reads_the_same(tmp_path: Path) -> None:
    opened = read_runbook(NOTEBOOKS / "format-3-with-cells.ipynb")
    assert json.loads(opened.raw)["nbformat"] == 4
    assert opened.digest == sha256(opened.raw)
    frozen = tmp_path / "runbook.ipynb"
    frozen.write_bytes(opened.raw)
    again = read_runbook(frozen)
    assert (again.digest, plan(again)) == (opened.digest, plan(opened))


def test_one_that_cannot_be_converted_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "broken.ipynb"
    path.write_text('{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": 7}')
    with pytest.raises(RunbookError, match="format 3 that cannot be converted") as caught:
        read_runbook(path)
    assert "\n" not in str(caught.value)
