"""Nothing that comes from outside can steer the terminal or be taken for markup.

Looked at are the strips as they go to the terminal's driver: the last place before the bytes.
"""

import re
import unicodedata
from typing import Any

import pytest

from runbookd.api import ParameterInfo, RunbookInfo
from runbookd.errors import CommandRefused
from runbookd.events import (
    Actor,
    ApprovalRefused,
    CellSkipped,
    Content,
    DriverChanged,
    DriverData,
    NoteAdded,
    NoteData,
    ReasonData,
    RefusedData,
    RunbookRef,
)
from runbookd.tui.app import RunbookdApp
from runbookd.tui.home import HomeScreen
from tests.tui.conftest import Open, Walk, strips
from tests.tui.fake import FakeDaemon, StillClock
from tests.tui.script import ALICE, Script, notebook, plans

ATTACKS = {
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;cm0gLXJmIC8=\x1b\\",
    "cursor": "\x1b[2J\x1b[H\x1b[5A",
    "alternate-screen": "\x1b[?1049h\x1b[?25l",
    "device-control": '\x1bP$q"p\x1b\\',
    "c1": "\x9b2J\x9d0;x\x9c",
    "return": "rm -rf /prod\recho hello",
    "backspace": "abc\b\b\bxyz\x7f",
    "bidi": "\u202egnp.exe\u2066",
    "invisible": "a\u200bb\u2060c\U000e0041\u3164",
    "markup": "[red]markup[/] [link=http://x]y[/link] [@click=app.exit]go[/]",
    "lone-escape": "\x1b",
    "cut-colour": "\x1b[31",
    "hyperlink": "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "separators": "a\u2028b\u2029c\x85d\x0be\x0cf",
    "surrogate": "a\ud800b",
    "tab": "a\tb",
}
ATTACKS["all"] = " ".join(ATTACKS.values())
# One at a time where it matters what stands beside it, all in one line otherwise.
CASES = ["all", "title", "return", "bidi", "markup", "lone-escape", "cut-colour"]


def check(app: RunbookdApp) -> str:
    """The screen's text; fails when a character in it is more than a picture of itself."""
    found = []
    for strip in strips(app):
        for segment in strip:
            assert not segment.control
            style = segment.style
            assert style is None or not style.link, "a link of a foreign text is live"
            for char in segment.text:
                category = unicodedata.category(char)
                assert category not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}, repr(segment.text)
            found.append(segment.text)
    return "".join(found)


def hostile_notebook(evil: str) -> dict[str, Any]:
    document = notebook()
    for cell in document["cells"]:
        cell["source"] = [f"# {evil}\n", *cell["source"], f"\n{evil}"]
        own = cell["metadata"].get("runbookd", {})
        if "title" in own:
            own["title"] = f"{own['title']} {evil}"
        for key in ("inputs", "connectors", "outputs"):
            if key in own:
                own[key] = [evil, *own[key]]
    document["metadata"]["language_info"] = {"name": "python"}
    return document


def hostile_script(evil: str) -> Script:
    document = hostile_notebook(evil)
    script = Script(
        document,
        cells=plans(document),
        incident=evil,
        runbook=RunbookRef(title=evil, path=evil, digest="a" * 64),
        parameters={"leak_timeout": evil},
        service=evil,
        environment=evil,
    )
    run = script.start("setup")
    script.call(run, "setup", evil, evil, 403, evil)
    script.output(run, "setup", f"one {evil} two\n{evil}")
    script.output(run, "setup", evil, "stderr")
    for channel in ("result", "display", "error"):
        script.output(run, "setup", evil, channel)
    for mime in ("text/html", "image/png", "application/vnd.jupyter.error+json", evil):
        script.contents(run, "setup", "display", Content(mime=mime, bytes=10, text=evil))
    digest = "d" * 64
    script.blobs[digest] = evil.encode("utf-8", "surrogatepass")
    blob = Content(mime="text/plain", bytes=10, blob=digest)
    script.contents(run, "setup", "result", blob)
    script.finish(run, "setup", "error", error=evil, lane_hint=evil)
    script.adhoc(evil, evil)
    script.add(NoteAdded(cell="setup", data=NoteData(text=evil)), ALICE)
    script.add(CellSkipped(cell="symptom", data=ReasonData(reason=evil)), ALICE)
    request = script.ask(
        "reap",
        inputs={"leaked": evil, evil.encode("ascii", "replace").decode(): "1"},
        connectors=[{"name": evil, "url": evil, "allow": [evil]}],
        may_touch={"writable": [evil], "signals": True, "sandbox": evil},
    )
    refused = RefusedData(decision="approve", person=evil, via="slack", reason=evil)
    script.add(ApprovalRefused(cell="reap", request=request, data=refused))
    return script


async def everywhere(walk: Walk) -> str:
    """Go through the whole notebook and look at every screenful."""
    seen = []
    await walk.press("home")
    view = walk.screen.view
    while True:
        seen.append(check(walk.app))
        before = view.top
        await walk.pilot.press("pagedown")
        await walk.settle()
        if view.top == before:
            return "".join(seen)


@pytest.mark.parametrize("name", CASES)
async def test_a_hostile_record_and_notebook_stay_on_the_screen(walking: Open, name: str) -> None:
    evil = ATTACKS[name]
    script = hostile_script(evil)
    async with walking(FakeDaemon(script), size=(120, 150), drill_page=evil) as walk:
        shown = await everywhere(walk)
        script.decide("reap", "r3", "deny", evil)
        taken = DriverData(person=f"eve {evil}", reason=evil)
        script.add(DriverChanged(data=taken), Actor(kind="person", id=evil, auth="peercred"))
        await walk.caught_up()
        await walk.go("reap")
        shown += check(walk.app)
        if name == "markup":
            assert "[red]markup[/]" in shown
            assert "[@click=app.exit]go[/]" in shown
        if name == "title":
            assert "␛]0;owned␇" in shown
        if name == "return":
            assert "rm -rf /prod␍" in shown
        if name == "bidi":
            assert "\\u{202e}gnp.exe" in shown


@pytest.mark.parametrize("name", CASES)
async def test_hostile_text_in_a_dialog_and_an_error_is_harmless(walking: Open, name: str) -> None:
    evil = ATTACKS[name]
    daemon = FakeDaemon(hostile_script(evil))
    daemon.refuse = CommandRefused(evil, evil)
    async with walking(daemon, size=(120, 40)) as walk:
        await walk.go("reaper-off")
        for keys in (["enter"], ["s"], ["n"], ["c"], ["q"], ["ctrl+p"]):
            await walk.press(*keys)
            check(walk.app)
            await walk.press("escape")
        await walk.go("errors-by-code")
        await walk.press("r")
        check(walk.app)


@pytest.mark.parametrize("name", CASES)
async def test_hostile_runbooks_and_sessions_are_listed_harmlessly(name: str) -> None:
    evil = ATTACKS[name]
    daemon = FakeDaemon(hostile_script(evil))
    daemon.slack = "away"
    parameters = (
        ParameterInfo(name=evil, type="string", description=evil, default='"x"', required=True),
        ParameterInfo(name="b", type="string", default='"\\u001b]0;x\\u0007"'),
        ParameterInfo(name="c", type="string", choices=('"\\u001b[2J"', '"ok"'), required=True),
    )
    daemon.infos = (
        RunbookInfo(path="/a", title=evil, service=evil, environment=evil, parameters=parameters),
        RunbookInfo(path="/b", title=evil, problem=evil),
    )
    clock = StillClock(daemon.script.now)
    app = RunbookdApp(daemon, clock=clock, now=clock.seconds)
    async with app.run_test(size=(100, 40)) as pilot:
        await pilot.pause(0.1)
        check(app)
        app.screen.post_message(HomeScreen.RunbookPicked(daemon.infos[0]))
        await pilot.pause()
        check(app)
        await pilot.press("tab", "tab", "enter")
        await pilot.pause()
        check(app)


async def test_what_is_pasted_into_a_note_is_shown_and_sent_filtered(walking: Open) -> None:
    from textual import events

    async with walking(FakeDaemon(Script())) as walk:
        await walk.press("n")
        walk.app.post_message(events.Paste("one\x1b]52;c;eA==\x07\ntwo\u202e"))
        await walk.settle()
        check(walk.app)
        await walk.press("f5")
        assert walk.daemon.commands[0].text == "one␛]52;c;eA==␇\ntwo\\u{202e}"  # type: ignore[union-attr]


async def test_a_paste_of_many_lines_executes_nothing(walking: Open) -> None:
    from textual import events

    async with walking(FakeDaemon(Script())) as walk:
        walk.app.post_message(events.Paste("s\nx\nq\ny\n"))
        await walk.settle()
        assert walk.daemon.commands == []
        assert len(walk.app.screen_stack) == 2


async def test_colours_of_an_output_are_kept(walking: Open) -> None:
    script = Script()
    script.run("setup", "\x1b[1;31mred\x1b[0m plain\n")
    async with walking(FakeDaemon(script), size=(120, 60)) as walk:
        await walk.go("setup")
        found = [s for strip in strips(walk.app) for s in strip if re.fullmatch("red", s.text)]
        assert found
        assert found[0].style is not None
        assert found[0].style.bold
