"""A draft in Markdown: complete, cited, inert, and the same each time."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from jinja2 import FileSystemLoader, UndefinedError
from jinja2.exceptions import SecurityError
from markdown_it import MarkdownIt
from markdown_it.token import Token
from record_builder import ALICE, NOTEBOOK, PLANS, Record, hexdigest

from runbookd.events import (
    Actor,
    CellSkipped,
    CellTicked,
    ClosedData,
    Content,
    DriverChanged,
    DriverData,
    NoteAdded,
    NoteData,
    PolicyRef,
    ReasonData,
    Recovered,
    RecoveredData,
    RunbookRef,
    SandboxReport,
    SessionClosed,
)
from runbookd.postmortem import markdown as module
from runbookd.postmortem.markdown import cite, markdown

CITED = re.compile(r"\[#(\d+)\]")
EVIL = (
    "x<script>alert(1)</script> [c](javascript:a) ![p](https://e.example/p.png) | `b` @dana #17 "
    "https://e.example www.e.example [#3] ``` <img src=x> \\| **b** _i_ \u202e\x1b]0;t\x07"
)


def tokens_of(text: str) -> list[Token]:
    return MarkdownIt("gfm-like", {"html": True, "linkify": True}).parse(text)


def prose(text: str) -> Iterator[str]:
    """The inline Markdown of a draft, without what stands in fences."""
    yield from (token.content for token in tokens_of(text) if token.type == "inline")


def citations(text: str) -> set[int]:
    return {int(number) for part in prose(text) for number in CITED.findall(part)}


def sections(text: str) -> list[str]:
    return [
        inner.content
        for outer, inner in pairwise(tokens_of(text))
        if outer.type == "heading_open" and outer.tag == "h2"
    ]


def hostile(evil: str) -> Record:
    """A walk in which whoever could put a text somewhere put ``evil`` there."""
    key = evil.encode("ascii", "replace").decode()
    record = Record(
        program=evil,
        vkey=evil,
        runbook=RunbookRef(title=evil, path=evil, digest="a" * 64, commit=evil),
        policies=PolicyRef(digest="b" * 64, files={key: "c" * 64}),
        kernelspec=evil,
        cells=tuple(plan.model_copy(update={"title": evil}) for plan in PLANS),
        parameters={key: evil},
        sandbox=SandboxReport(level="none", backend=evil, kernel=evil, why=evil),
        unenforced=True,
        incident=evil,
        service=evil,
        environment=evil,
    )
    record.run("usage", evil, f"{evil}\n````\n{evil}", status="error", error=evil, lane_hint=evil)
    execution = record.start("errors")
    record.output(
        execution,
        Content(mime="text/html", bytes=10, text=evil),
        Content(mime=evil, bytes=10, blob=hexdigest("gone")),
        channel="display",
    )
    record.call(execution, evil, evil, connector=evil, refused=evil, lane="read-only")
    record.finish(execution, "errors")
    adhoc = record.start_adhoc(evil)
    record.finish(adhoc, None)
    record.request(
        document={"source": evil, "inputs": {"target": evil}, "more": [evil]},
        rules=(evil,),
        groups=(evil,),
        requester=evil,
        expires_at=evil,
    )
    record.refuse(evil, evil)
    record.decide(person=evil, reason=evil)
    record.execute()
    record.add(NoteAdded(cell="usage", data=NoteData(text=evil)), actor=ALICE)
    record.add(CellTicked(cell="call", data=NoteData(text=evil)), actor=ALICE)
    record.add(CellSkipped(cell="undo", data=ReasonData(reason=evil)), actor=ALICE)
    record.add(
        DriverChanged(data=DriverData(person=evil, reason=evil)),
        actor=Actor(kind="person", id=evil, auth="peercred"),
        redacted=(evil,),
    )
    record.checkpoint()
    record.add(SessionClosed(data=ClosedData(reason=evil)), actor=ALICE)
    record.lines = [line.model_copy(update={"log": f"host/{evil}"}) for line in record.lines]
    return record


def test_every_citation_in_the_text_is_a_line_of_the_record(walked: Record) -> None:
    known = {line.seq for line in walked.lines}
    found = citations(markdown(walked.document()))
    assert found <= known
    left_out = {walked.lines[seq].event.type for seq in known - found}
    assert left_out <= {"approval.posted", "approval.refused", "approval.decided", "checkpoint"}


def test_every_row_and_every_list_item_of_fact_is_cited(walked: Record) -> None:
    text = markdown(walked.document())
    body = text[: text.index("## Contributing causes")]
    facts = [line for line in body.splitlines() if line.startswith(("- ", "| "))]
    heads = ("Record |", "| Who | Known by |", "none recorded")
    plain = [line for line in facts if not CITED.search(line) and not any(x in line for x in heads)]
    assert plain == []
    assert len(facts) > 60


def test_the_sections_come_in_the_order_that_readers_know(walked: Record) -> None:
    assert sections(markdown(walked.document())) == [
        "Summary",
        "Impact",
        "Header",
        "Metrics",
        "Timeline",
        "What was done",
        "Evidence",
        "Deviations and skips",
        "Notes",
        "Failures and unknown outcomes",
        "Contributing causes",
        "What went well",
        "What went badly",
        "Where we were lucky",
        "Action items",
        "Open questions",
        "Integrity",
    ]


def test_what_only_a_person_can_say_is_left_to_a_person(walked: Record) -> None:
    text = markdown(walked.document())
    for title in ("Summary", "Impact", "Contributing causes", "What went well", "Open questions"):
        part = text.split(f"## {title}\n\n")[1]
        assert part.startswith("> _To be written by a person")


def test_tables_have_as_many_cells_in_each_row_as_in_their_head() -> None:
    widths: list[list[int]] = []
    for token in tokens_of(markdown(hostile(EVIL).document())):
        if token.type == "table_open":
            widths.append([])
        elif token.type == "tr_open":
            widths[-1].append(0)
        elif token.type in {"th_open", "td_open"}:
            widths[-1][-1] += 1
    assert len(widths) == 7
    assert all(len(set(rows)) == 1 for rows in widths)


def test_hostile_text_makes_no_html_no_link_and_no_image() -> None:
    text = markdown(hostile(EVIL).document(f"DRAFT FROM AN UNVERIFIED RECORD\n{EVIL}"))
    kinds = {"html_block", "html_inline", "link_open", "image", "s_open"}
    for token in tokens_of(text):
        for inner in (token, *(token.children or [])):
            assert inner.type not in kinds
            if inner.type in {"text", "text_special"}:
                assert not re.search(r"@\w|#\d|://|www\.|<\w", inner.content)
    assert text.count("alert(1)") > 30


def test_hostile_text_changes_no_block_of_the_draft() -> None:
    def shape(evil: str) -> list[str]:
        return [token.type for token in tokens_of(markdown(hostile(evil).document(f"a\n{evil}")))]

    assert shape(EVIL) == shape("harmless")


def test_hostile_text_forges_no_citation() -> None:
    record = hostile("see [#99999] and `[#99998]` and **`[#99997]`**")
    assert max(citations(markdown(record.document()))) == record.lines[-1].seq


def test_no_control_or_bidi_character_gets_out() -> None:
    text = markdown(hostile(EVIL).document())
    assert not re.search(r"[^\n\x20-\x7e\xa0-\u2027\u202f-\U0010ffff]", text)


def test_a_drill_is_a_drill_at_first_sight() -> None:
    record = Record(drill=True)
    assert "> **DRILL.**" in markdown(record.document()).split("## Summary")[0]
    assert "DRILL" not in markdown(Record().document())


def test_the_integrity_statement_stands_at_the_top_and_in_the_appendix(walked: Record) -> None:
    given = "DRAFT FROM AN UNVERIFIED RECORD\nline 4 was changed\nline 9 is missing"
    text = markdown(walked.document(given))
    head, appendix = text.split("## Summary")[0], text.split("## Integrity")[1]
    assert "> **Integrity: DRAFT FROM AN UNVERIFIED RECORD**\n> - line 4 was changed\n" in head
    assert "**DRAFT FROM AN UNVERIFIED RECORD**" in appendix
    assert "- line 9 is missing" in appendix
    assert "runbookd verify PATH" in appendix


def test_an_open_session_says_so_at_the_top() -> None:
    record = Record()
    record.run("usage")
    text = markdown(record.document())
    assert "**The session was still open**" in text.split("## Summary")[0]
    assert "| Closed (UTC) | still open at 2026-11-24 02:00:02 | `[#2]` |" in text


def test_a_session_without_a_single_step_is_still_a_draft() -> None:
    text = markdown(Record().document())
    assert "No execution is recorded up to `[#0]`." in text
    assert "No approval was asked for up to `[#0]`." in text
    assert "| Time to mitigation | not recorded | _not recorded_ |" in text


def test_a_denied_request_shows_who_denied_it_and_why() -> None:
    record = Record()
    record.request()
    seq = record.decide("deny", reason="not now")
    text = markdown(record.document())
    row = next(line for line in text.splitlines() if line.startswith("| Denied |"))
    assert row.endswith(f"reason: not now | `[#{seq}]` |")
    assert "dana" in row
    assert "| Execution | none recorded |" in text


def test_a_missing_output_is_named_in_the_text() -> None:
    record = Record()
    execution = record.start("usage")
    gone = hexdigest("gone")
    record.output(execution, Content(mime="text/plain", bytes=900, blob=gone))
    record.finish(execution, "usage")
    text = markdown(record.document())
    assert "**Cut:** 900 of 900 bytes are not shown" in text
    assert f"**Not whole:** `blobs/sha256/{gone}` is missing from the folder" in text


def test_a_cut_output_says_how_much_and_where_the_whole_is() -> None:
    record = Record()
    name = record.blob("y" * 9000)
    execution = record.start("usage")
    record.output(execution, Content(mime="text/plain", bytes=9000, blob=name))
    text = markdown(record.document())
    assert f"**Cut:** 5000 of 9000 bytes are not shown; whole in `blobs/sha256/{name}`" in text


def test_an_image_is_named_and_never_embedded(walked: Record) -> None:
    text = markdown(walked.document())
    name = hexdigest(b"\x89PNG picture")
    assert f"- not shown: `image/png`, 12 bytes, `blobs/sha256/{name}` " in text


def test_an_unknown_outcome_is_told_as_one() -> None:
    record = Record()
    record.request()
    record.decide()
    record.claim("x1")
    record.start("resize", request="r1")
    record.add(Recovered(data=RecoveredData(executions=("x1",))))
    text = markdown(record.document())
    failures = text.split("## Failures")[1].split("## Contributing")[0]
    assert "The outcome of “Resize the pool” is unknown: a crash hid it" in failures
    assert "found the session open after a crash" in failures
    assert "| State | unknown |" in text


@pytest.mark.parametrize("language", ["mermaid", "math", "text\n```\n# evil", 3, None, {}])
def test_only_languages_that_are_shown_as_code_name_a_fence(language: object) -> None:
    record = Record()
    record.run("usage")
    notebook = NOTEBOOK | {"metadata": {"kernelspec": {"language": language}}}
    fences = [
        token.info
        for token in tokens_of(markdown(record.document(notebook=notebook)))
        if token.type == "fence"
    ]
    assert set(fences) == {"text"}


def test_the_same_document_gives_the_same_text(walked: Record) -> None:
    assert markdown(walked.document()) == markdown(walked.document())


@pytest.mark.parametrize(
    ("refs", "text"),
    [
        ((), ""),
        ((3,), "`[#3]`"),
        ((4, 3), "`[#3]` `[#4]`"),
        ((3, 4, 5, 9), "`[#3]` to `[#5]` `[#9]`"),
        (
            tuple(range(0, 40, 2)),
            "`[#0]` `[#2]` `[#4]` `[#6]` `[#8]` `[#10]` `[#12]` (12 more) `[#38]`",
        ),
    ],
)
def test_many_numbers_are_drawn_together(refs: tuple[int, ...], text: str) -> None:
    assert cite(refs) == text


def test_a_template_cannot_reach_into_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PackageLoader", lambda _package: FileSystemLoader(tmp_path))
    (tmp_path / module.TEMPLATE).write_text("{{ doc.__class__.__mro__ }}")
    with pytest.raises(SecurityError):
        markdown(Record().document())
    (tmp_path / module.TEMPLATE).write_text("{{ doc.no_such_thing }}")
    with pytest.raises(UndefinedError):
        markdown(Record().document())
