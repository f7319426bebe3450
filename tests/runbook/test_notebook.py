"""Reading notebooks: the fixtures are named after what is odd about them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runbookd.canonical import sha256
from runbookd.errors import RunbookError
from runbookd.runbook.notebook import MAX_BYTES, plan, read_runbook

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def read(name):
    return read_runbook(NOTEBOOKS / f"{name}.ipynb")


def test_everything_that_is_allowed_is_read():
    runbook = read("everything-that-is-allowed")
    raw = runbook.path.read_bytes()
    assert (runbook.raw, runbook.digest) == (raw, sha256(raw))
    assert (runbook.title, runbook.service, runbook.environment) == (
        "Pool exhaustion",
        "checkout",
        "production",
    )
    assert (runbook.severity, runbook.tags, runbook.kernelspec) == (2, ("db",), "python3")
    assert runbook.connectors == ("checkout", "checkout-admin")
    assert list(runbook.parameters) == ["pool", "region", "ratio", "force", "note"]
    assert runbook.parameters["pool"].alert.label == "pool"
    assert [cell.id for cell in runbook.cells] == [
        "intro",
        "pool-usage",
        "pool-fix",
        "pool-back",
        "status",
        "raw",
    ]
    fix = runbook.cells[2]
    assert fix.source == "raise_pool()"
    assert (fix.mode, fix.risk, fix.timeout_s) == ("gated", "medium", 90)
    assert (fix.inputs, fix.outputs, fix.connectors) == (("usage",), ("size",), ("checkout-admin",))
    assert (fix.rollback, fix.verify, fix.requires) == ("pool-back", "pool-usage", ("pool-usage",))
    assert runbook.cells[1].source == "usage = 97\nusage"


def test_the_plan_has_the_code_and_manual_cells_in_order():
    steps = plan(read("everything-that-is-allowed"))
    assert [(step.id, step.mode, step.title) for step in steps] == [
        ("pool-usage", "read-only", "Pool usage"),
        ("pool-fix", "gated", "Raise the pool"),
        ("pool-back", "gated", "Lower the pool"),
        ("status", "manual", "Status page"),
    ]
    fix = steps[1]
    assert fix.source_digest == sha256("raise_pool()")
    assert (fix.risk, fix.requires, fix.rollback, fix.verify) == (
        "medium",
        ("pool-usage",),
        "pool-back",
        "pool-usage",
    )


def test_cells_without_ids_get_the_same_distinct_ones_at_each_read():
    first, second = read("cells-without-ids"), read("cells-without-ids")
    ids = [cell.id for cell in first.cells]
    assert ids == [cell.id for cell in second.cells]
    assert len(set(ids)) == 4
    assert ids[1] == f"cell-2-{sha256('x = 1')[:8]}"


def test_a_made_up_id_changes_with_the_source(tmp_path):
    notebook = json.loads((NOTEBOOKS / "cells-without-ids.ipynb").read_text())
    notebook["cells"][1]["source"] = "x = 2"
    (tmp_path / "edited.ipynb").write_text(json.dumps(notebook))
    before = read("cells-without-ids").cells
    after = read_runbook(tmp_path / "edited.ipynb").cells
    assert before[1].id != after[1].id
    assert before[3].id == after[3].id


@pytest.mark.parametrize("name", ["no-kernelspec", "byte-order-mark", "source-as-one-string"])
def test_notebooks_of_other_tools_open(name):
    assert read(name).kernelspec == "python3"


def test_a_kernel_of_another_language_is_kept():
    assert read("kernel-named-powershell").kernelspec == "powershell"


@pytest.mark.parametrize("name", ["markdown-cell-with-outputs", "widget-and-script-outputs"])
def test_outputs_in_the_file_are_passed_over(name):
    runbook = read(name)
    assert len(plan(runbook)) == 1
    assert not any("script" in cell.source for cell in runbook.cells)


def test_what_other_programs_say_of_a_cell_is_not_trusted():
    (cell,) = read("vendor-says-a-restart-is-safe").cells
    assert (cell.mode, cell.risk) == ("read-only", None)


def test_tags_do_the_same_as_the_mode():
    modes = [cell.mode for cell in read("tags-instead-of-metadata").cells]
    assert modes == ["read-only", "gated", "manual", "read-only"]


def test_a_gated_cell_that_names_no_risk_has_the_highest():
    assert plan(read("gated-without-risk"))[0].risk == "high"


def test_blank_code_is_no_step_and_the_first_line_is_a_title():
    runbook = read("blank-cells-and-no-headings")
    assert [(step.id, step.title) for step in plan(runbook)] == [("c", "print(1)")]
    assert runbook.title == "blank-cells-and-no-headings"


def test_titles_come_from_the_nearest_heading_outside_code():
    runbook = read("headings-in-code-fences")
    titles = {step.id: step.title for step in plan(runbook)}
    assert titles == {"a": "Sub", "b": "Next", "c": "Next"}
    assert runbook.title == "Top"


def test_control_characters_in_titles_are_made_visible():
    runbook = read("control-characters-in-a-title")
    assert runbook.title == "x␛]0;owned␇"
    assert runbook.cells[0].title == r"ok␛[2J\u{202e} gnp"


def test_a_notebook_without_cells_is_an_empty_walk():
    assert plan(read("no-cells")) == ()


def test_connectors_that_cells_use_are_the_notebooks_when_it_names_none(tmp_path):
    notebook = json.loads((NOTEBOOKS / "connector-that-is-not-declared.ipynb").read_text())
    del notebook["metadata"]["runbookd"]
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    assert read_runbook(tmp_path / "a.ipynb").connectors == ("k8s",)


REFUSED = {
    "duplicate-ids": r'cells 1 and 2 have the same id "one"',
    "id-with-a-slash": r"cell 1: the id '../one' is not",
    "kernelspec-without-a-name": "kernelspec has no usable name",
    "kernelspec-that-is-a-path": "kernelspec has no usable name",
    "tag-and-metadata-disagree": r"cell 1 \(a\): it is both read-only and gated",
    "two-mode-tags": "it is both gated and manual",
    "gated-markdown": "a markdown cell cannot be gated",
    "manual-raw-cell": "a raw cell cannot be manual",
    "unknown-mode": r"cell 1 \(a\): mode: .*'read-only', 'gated' or 'manual'",
    "unknown-cell-key": r'cell 2 \(fix\): unknown key "moed"; did you mean "mode"\?',
    "unknown-notebook-key": r'unknown key "servcie"; did you mean "service"\?',
    "unknown-parameter-key": r'unknown key "parameters.pool.typ"; did you mean "type"\?',
    "risk-without-gated": '"risk" is only for gated cells',
    "inputs-without-gated": '"inputs" is only for gated cells',
    "outputs-without-gated": '"outputs" is only for gated cells',
    "input-that-is-no-identifier": "inputs.0: a name is made of ASCII",
    "input-with-look-alike-letters": "inputs.0: a name is made of ASCII",
    "input-that-is-a-keyword": "no Python keyword",
    "input-that-is-a-dunder": "does not begin with __",
    "output-twice": "outputs: x is there twice",
    "timeout-of-zero": "timeout: ",
    "timeout-with-a-unit": "timeout: ",
    "requires-an-unknown-cell": (
        r'cell b: requires names "pool-usgae", which is no step; did you mean "pool-usage"'
    ),
    "requires-itself": "cell a: requires names the cell itself",
    "requires-in-a-circle": "these cells require one another: a -> c -> b -> a",
    "requires-a-text-cell": 'requires names "t", which is no step',
    "rollback-to-an-unknown-cell": 'rollback names "back"',
    "verify-by-an-unknown-cell": 'verify names "check"',
    "connector-that-is-not-declared": 'the connector "k8s" is not among',
    "lone-surrogate": "lone surrogate",
    "format-5": "notebook format 5",
    "empty": "the file is empty",
    "one-newline": "the file is empty",
    "not-json": r"this is not JSON \(line 2",
    "not-utf-8": "line 2 is not UTF-8 text",
    "json-list": "not a notebook",
    "json-but-no-notebook": "not a notebook",
    "cells-that-are-no-list": "no list of cells",
    "cell-that-is-no-object": "cell 1: it is no JSON object",
    "heading-cell": "unknown cell type 'heading'",
    "cell-metadata-that-is-a-list": "its metadata is no JSON object",
    "source-that-is-a-number": "its source is no text",
    "severity-of-zero": "severity: ",
    "severity-as-text": "severity: ",
    "runbookd-metadata-that-is-text": "runbookd: ",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_notebook_that_cannot_be_walked_is_refused_in_one_line(name):
    with pytest.raises(RunbookError, match=REFUSED[name]) as caught:
        read(name)
    assert str(caught.value).startswith(f"{name}.ipynb")
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert caught.value.exit_code == 2


def test_every_odd_notebook_either_opens_or_is_refused():
    for path in NOTEBOOKS.glob("*.ipynb"):
        if path.stem not in REFUSED:
            converted = path.stem.startswith("format-3")
            assert (read_runbook(path).raw != path.read_bytes()) == converted


def test_nothing_in_a_refusal_reaches_the_terminal_raw(tmp_path):
    notebook = {"nbformat": 4, "cells": [], "metadata": {"runbookd": {"\x1b[2J": 1}}}
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    with pytest.raises(RunbookError) as caught:
        read_runbook(tmp_path / "a.ipynb")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("kind", ["nested", "digits"])
def test_json_that_breaks_parsers_is_refused(tmp_path, kind):
    text = "[" * 200_000 if kind == "nested" else '{"nbformat": ' + "9" * 10_000 + "}"
    (tmp_path / "a.ipynb").write_text(text)
    with pytest.raises(RunbookError, match="nested too deeply"):
        read_runbook(tmp_path / "a.ipynb")


def test_a_notebook_that_is_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "a.ipynb"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(RunbookError, match="are too many"):
        read_runbook(path)


def test_a_fifo_does_not_hang_the_reader(tmp_path):
    os.mkfifo(tmp_path / "a.ipynb")
    with pytest.raises(RunbookError, match="not a regular file"):
        read_runbook(tmp_path / "a.ipynb")


@pytest.mark.parametrize("name", ["none.ipynb", "folder.ipynb", "a.md", "a\0.ipynb"])
def test_what_is_no_notebook_file_is_refused(tmp_path, name):
    (tmp_path / "folder.ipynb").mkdir()
    with pytest.raises(RunbookError):
        read_runbook(tmp_path / name)


def test_a_runbook_does_not_change_with_the_file(tmp_path):
    path = tmp_path / "a.ipynb"
    path.write_bytes((NOTEBOOKS / "gated-without-risk.ipynb").read_bytes())
    runbook = read_runbook(path)
    path.write_text("{}")
    assert runbook.cells[0].source == "a"
    assert sha256(runbook.raw) == runbook.digest


def test_reading_a_runbook_imports_no_notebook_library():
    code = (
        "import sys; from pathlib import Path; from runbookd.runbook.notebook import read_runbook;"
        f"read_runbook(Path({str(NOTEBOOKS / 'no-cells.ipynb')!r}));"
        "print({'nbformat', 'jupyter_client', 'rich', 'textual'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.stdout.strip() == "set()", ended.stderr
