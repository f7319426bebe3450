"""What the screens say of a session, without a screen."""

from datetime import timedelta

import pytest

from runbookd.clock import parse_rfc3339
from runbookd.events import CellTicked, NoteData
from runbookd.session.state import SessionState, fold_all
from runbookd.tui.advice import Seat, advise, elapsed, remaining
from runbookd.tui.code import coloured_code, plain_code
from runbookd.tui.fresh import GRACE_S, REPEAT_S, FreshKey
from runbookd.tui.lines import harmless
from runbookd.tui.markdown import markdown_lines
from runbookd.tui.notebook import read_notebook
from runbookd.tui.rows import line
from runbookd.tui.story import Changes, Story
from tests.tui.pictures import approved, beginning, denied, done, failed, unknown, waiting
from tests.tui.script import ALICE, Script

ME = Seat("alice")


def say(script: Script, selected: str, seat: Seat = ME) -> str:
    advice = advise(fold_all(script.lines), selected, seat, script.now)
    return f"{advice.key}: {advice.text}"


@pytest.mark.parametrize(
    ("script", "selected", "said"),
    [
        (Script, "setup", "Enter: run 'Helpers, and which version runs'"),
        (Script, "symptom", "Enter: go to 'Helpers, and which version runs', which this needs"),
        (Script, "status-page", "Enter: tick off 'Tell the status page'"),
        (beginning, "reap", "Enter: ask for approval of 'Reap leaked"),
        (beginning, "setup", "Enter: go on to 'What the log says'"),
        (waiting, "reap", "Enter: go on to 'Wait until it is healthy'"),
        (approved, "reap", "x: runs this step now, once; the approval holds for 14:57 min"),
        (denied, "reap", "Enter: go on to 'Wait until it is healthy'; r asks again"),
        (failed, "log", "Enter: run again 'What the log says'"),
        (unknown, "reap", "Enter: ask again for approval; the outcome is unknown, so look first"),
        (done, "verify", "i: interrupts; running for 2 s"),
        (done, "log", "Enter: go to 'Wait until it is healthy', which is running"),
        (done, "status-page", "Enter: tick off 'Tell the status page'"),
    ],
)
def test_one_key_does_the_natural_next_thing(script: object, selected: str, said: str) -> None:
    assert callable(script)
    assert say(script(), selected).startswith(said)


def test_a_rollback_is_no_step_of_its_own() -> None:
    script = Script()
    for cell in ("setup", "symptom", "errors-by-code", "pool-usage", "log", "verify"):
        script.run(cell)
    script.add(CellTicked(cell="status-page", data=NoteData(text="")), ALICE)
    request = script.ask("reap")
    assert say(script, "reap").startswith("v: takes the request back")
    script.decide("reap", request)
    script.executed("reap", request, script.execute("reap", request))
    assert say(script, "reap") == "c: closes the session; every step is done or skipped"


def test_an_observer_is_told_the_way_into_the_seat() -> None:
    assert say(Script(), "setup", Seat("bob")).startswith("D: takes the seat (reason)")
    assert say(Script(), "setup", Seat("bob", observing=True)) == ": observing; driver is alice"


def test_before_the_first_line_nothing_is_advised() -> None:
    assert advise(SessionState(), "", ME, Script().now).act == "nothing"


def test_times_are_said_for_people() -> None:
    now = parse_rfc3339("2026-11-24T02:00:00.000000Z")

    def at(**delta: float) -> str:
        from runbookd.clock import rfc3339

        return rfc3339(now + timedelta(**delta))

    assert remaining(at(seconds=59), now) == "59 s"
    assert remaining(at(minutes=2, seconds=5), now) == "2:05 min"
    assert remaining(at(seconds=-5), now) == "0 s"
    assert elapsed(at(hours=-2, minutes=-3), now) == "2:03 h"


def test_notes_and_ad_hoc_cells_stand_where_the_walk_was() -> None:
    script = Script()
    script.run("setup")
    script.adhoc("1+1", "2\n")
    story = Story(read_notebook(script.notebook))
    for recorded in script.lines:
        story.feed(recorded, Changes())
    keys = [item.key for item in story.items()]
    assert keys[:3] == ["setup", "adhoc:x2", "symptom"]
    assert [cell.id for cell in story.items()[0].lead] == ["about"]
    assert keys[-1] == "reaper-off"


def test_who_joins_looks_first_at_what_runs_or_may_run() -> None:
    def standing(script: Script) -> str:
        story = Story(read_notebook(script.notebook))
        for recorded in script.lines:
            story.feed(recorded, Changes())
        return story.standing

    assert standing(Script()) == "setup"
    assert standing(beginning()) == "log"
    assert standing(approved()) == "reap"
    assert standing(done()) == "verify"


def test_a_step_that_runs_again_forgets_its_old_output() -> None:
    script = Script()
    first = script.run("setup", "old\n")
    script.run("setup", "new\n")
    story = Story(read_notebook(script.notebook))
    for recorded in script.lines:
        story.feed(recorded, Changes())
    assert first not in story._outputs
    run = story.run_of("setup")
    assert run is not None
    assert story.output(run.id).row(0, 80, full=True).text == "│ new"


def test_prose_after_the_last_step_is_shown_too() -> None:
    script = Script()
    script.notebook["cells"].append(
        {"id": "end", "cell_type": "markdown", "metadata": {}, "source": "Good night."}
    )
    story = Story(read_notebook(script.notebook))
    story.feed(script.lines[0], Changes())
    assert story.items()[-1].kind == "end"


def test_odd_notebooks_are_read_as_far_as_they_go() -> None:
    assert read_notebook({}).cells == ()
    assert read_notebook({"cells": "no"}).cells == ()
    odd = {"cells": [7, {"cell_type": 3, "metadata": [], "source": ["a", "b"]}], "metadata": 1}
    found = read_notebook(odd)
    assert [(cell.kind, cell.source) for cell in found.cells] == [("raw", "ab")]
    assert found.language == "python"


def test_markdown_is_styled_and_says_every_word() -> None:
    source = (
        "\n# Title\n\nSome **bold**, *soft* and `code`.\n* item that\n1. one\n> quote\n---\n"
        "[link](http://x/y)\n```python\nx = 1\n```\n| a | b |\n"
    )
    found = markdown_lines(source)
    assert [one.text for one in found] == [
        "Title", "", "Some bold, soft and code.", "• item that", "1. one", "quote", "────────",
        "[link](http://x/y)", "x = 1", "| a | b |",
    ]  # fmt: skip
    tones = {found[2].text[start:end]: tone for start, end, tone in found[2].spans}
    assert (tones["bold"], tones["soft"], tones["code"]) == ("strong", "emphasis", "inline")


def test_a_paragraph_flows_and_a_table_does_not() -> None:
    source = (
        "one\ntwo\n\n* three\n  four\n* five  \nsix\n| a |\n| b |\nTitle\n=====\n"
        "\n    code\n    more"
    )
    assert [one.text for one in markdown_lines(source)] == [
        "one two", "", "• three four", "• five  ", "six", "| a |", "| b |", "Title", "=====",
        "", "    code", "    more",
    ]  # fmt: skip


def test_a_code_fence_that_is_never_closed_hides_nothing() -> None:
    assert [one.text for one in markdown_lines("a\n```\nb\n# c")] == ["a", "b", "# c"]


@pytest.mark.parametrize(
    "text", ["*" * 50_000 + "x", "x" + "`" * 50_000, "**a" * 20_000, "[" * 50_000]
)
def test_markdown_that_is_made_to_be_slow_is_not(text: str) -> None:
    assert markdown_lines(text)[0].text == text


def test_code_in_colours_is_the_same_code() -> None:
    source = "def f(x):\n\treturn 'a' + 1  # why\n\n%magic\n"
    plain = [one.text for one in plain_code(source)]
    assert [one.text for one in coloured_code(source, "python")] == plain
    assert [one.text for one in coloured_code(source, "no-such-language")] == plain
    assert any(tone == "keyword" for _, _, tone in coloured_code(source, "python")[0].spans)


def test_a_line_is_filtered_where_it_is_made_and_once_more_where_it_is_drawn() -> None:
    assert line("a\x1b[2Jb\tc\nd").text == "a␛[2Jb  c␊d"
    assert harmless("a\x1b]0;x\x07\u202e\n") == "a␛]0;x␇\\u{202e}␊"


def test_a_fresh_key_is_neither_early_nor_held() -> None:
    key = FreshKey()
    assert not key.press(0.0)
    key.ask(10.0)
    assert not key.press(10.0 + GRACE_S - 0.01)
    assert not key.press(10.0 + GRACE_S + REPEAT_S - 0.05)
    assert key.press(12.0)
    key.ask(20.0, pressed=True)
    assert not key.press(20.0 + REPEAT_S - 0.01)
