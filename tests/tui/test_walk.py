"""Every key of the walk does what the help says, and nothing else."""

import pytest

from runbookd.api import (
    AddNote,
    CloseSession,
    Command,
    Interrupt,
    RevokeRequest,
    RunAdhoc,
    RunCell,
    SkipCell,
    TakeDriver,
    TickCell,
)
from runbookd.errors import CommandRefused
from runbookd.events import ClosedData, SessionClosed
from runbookd.tui.actions import WALK
from runbookd.tui.ask import AskDialog
from runbookd.tui.choices import Choices
from runbookd.tui.home import HomeScreen
from runbookd.tui.notebook_view import NotebookView
from tests.tui.conftest import Open
from tests.tui.fake import FakeDaemon
from tests.tui.pictures import approved, beginning, denied, done, failed, unknown, waiting
from tests.tui.script import Script


def obey(daemon: FakeDaemon, command: Command) -> None:
    """Do at once what was commanded."""
    match command:
        case RunCell():
            daemon.script.run(command.cell, "it ran\n")
        case RunAdhoc():
            daemon.script.adhoc(command.source, "42\n")
        case _:
            pass


async def test_enter_runs_the_first_open_step_and_says_so_before(walking: Open) -> None:
    async with walking(FakeDaemon(Script(), obey)) as walk:
        assert "Enter  run 'Helpers, and which version runs'" in walk.text()
        await walk.press("enter")
        assert walk.daemon.commands == [RunCell(cell="setup")]
        await walk.caught_up()
        assert "✓ Helpers, and w" in walk.text()
        assert "│ it ran" in walk.text()
        assert "Enter  go on to 'Latency and errors now'" in walk.text()


async def test_enter_walks_on_after_a_step_is_done(walking: Open) -> None:
    async with walking(FakeDaemon(Script(), obey)) as walk:
        await walk.press("enter")
        await walk.caught_up()
        await walk.press("enter")
        assert walk.screen.view.selected == "symptom"
        assert walk.daemon.commands == [RunCell(cell="setup")]


async def test_enter_goes_to_what_a_step_requires(walking: Open) -> None:
    async with walking(FakeDaemon(Script())) as walk:
        await walk.go("pool-usage")
        assert "which this needs first" in walk.text()
        await walk.press("enter")
        assert walk.screen.view.selected == "setup"
        assert walk.daemon.commands == []


async def test_enter_that_is_held_down_does_not_walk(walking: Open) -> None:
    async with walking(FakeDaemon(Script(), obey)) as walk:
        await walk.press("enter")
        await walk.caught_up()
        await walk.press(*["enter"] * 8, after=0.03)
        assert walk.daemon.commands == [RunCell(cell="setup")]


async def test_a_second_command_waits_for_what_came_of_the_first(walking: Open) -> None:
    daemon = FakeDaemon(Script())
    async with walking(daemon) as walk:
        daemon.script.now = daemon.script.now  # the script stays silent: nothing is read
        await walk.press("enter")
        walk.screen._await_seq = walk.screen.seq + 1
        await walk.press("r")
        assert walk.daemon.commands == [RunCell(cell="setup")]
        assert "still on its way" in walk.notices()


async def test_asking_shows_the_whole_request_before_it_is_sent(walking: Open) -> None:
    async with walking(FakeDaemon(beginning()), size=(120, 60)) as walk:
        await walk.go("reap")
        await walk.press("enter")
        assert isinstance(walk.app.screen, AskDialog)
        shown = walk.text()
        assert "leaked, leak_timeout: read from the read-only kernel" in shown
        assert "leak_timeout = 5" in shown
        assert "checkout-admin" in shown
        assert "Switch the reaper off again" in shown
        assert "Wait until it is healthy" in shown
        assert 'change({"reaper": "on", "leak_timeout": leak_timeout})' in shown
        assert walk.daemon.commands == []
        await walk.press("a")
        assert walk.daemon.commands == [RunCell(cell="reap")]


@pytest.mark.parametrize("keys", [["enter"], ["escape"], ["y"], ["enter", "enter", "space"]])
async def test_only_its_own_key_sends_the_request(walking: Open, keys: list[str]) -> None:
    async with walking(FakeDaemon(beginning())) as walk:
        await walk.go("reap")
        await walk.press("enter")
        await walk.press(*keys)
        assert walk.daemon.commands == []


async def test_a_key_typed_ahead_of_the_question_does_not_answer_it(walking: Open) -> None:
    async with walking(FakeDaemon(beginning())) as walk:
        await walk.go("reap")
        await walk.press("enter")
        await walk.press("a", after=0.4)
        assert walk.daemon.commands == []
        await walk.press("a")
        assert walk.daemon.commands == [RunCell(cell="reap")]


async def test_nothing_is_sent_when_somebody_asked_meanwhile(walking: Open) -> None:
    """The same command would execute a request that was approved meanwhile."""
    daemon = FakeDaemon(beginning())
    async with walking(daemon) as walk:
        await walk.go("reap")
        await walk.press("enter")
        daemon.script.decide("reap", daemon.script.ask("reap"))
        await walk.caught_up()
        await walk.press("a")
        assert daemon.commands == []
        assert "somebody asked meanwhile" in walk.notices()


async def test_a_pending_request_shows_its_fingerprint_and_who_decides(walking: Open) -> None:
    page = "http://127.0.0.1:43121/"
    async with walking(FakeDaemon(waiting()), drill_page=page) as walk:
        await walk.go("reap")
        shown = walk.text()
        assert "WAITING FOR APPROVAL   14:58 min left" in shown
        assert "fingerprint  3fa9c2d1" in shown
        assert "1 person of commanders, not alice" in shown
        assert "leak_timeout = 5" in shown
        assert "checkout-admin: GET /*, POST" in shown
        assert page in shown
        assert "◇ Reap leaked" in shown
        assert "waiting" in shown


async def test_the_countdown_runs(walking: Open) -> None:
    async with walking(FakeDaemon(waiting())) as walk:
        await walk.go("reap")
        walk.clock.at = walk.clock.at.replace(minute=20, second=0)
        walk.screen._tick()
        await walk.settle()
        assert "2:16 min left" in walk.text()


@pytest.mark.parametrize("key", ["enter", "r", "x"])
async def test_no_key_runs_a_step_that_waits_for_a_decision(walking: Open, key: str) -> None:
    async with walking(FakeDaemon(waiting())) as walk:
        await walk.go("reap")
        await walk.press(key)
        assert walk.daemon.commands == []


async def test_x_runs_what_was_approved(walking: Open) -> None:
    async with walking(FakeDaemon(approved())) as walk:
        await walk.go("reap")
        assert "APPROVED by dana (slack)" in walk.text()
        assert "press x to run it now" in walk.text()
        await walk.press("x")
        assert walk.daemon.commands == [RunCell(cell="reap")]


@pytest.mark.parametrize("key", ["enter", "r", "a", "y", "space"])
async def test_no_other_key_runs_what_was_approved(walking: Open, key: str) -> None:
    async with walking(FakeDaemon(approved())) as walk:
        await walk.go("reap")
        await walk.press(key)
        assert walk.daemon.commands == []


async def test_an_x_typed_before_the_approval_was_seen_does_not_run_it(walking: Open) -> None:
    daemon = FakeDaemon(waiting())
    async with walking(daemon) as walk:
        await walk.go("reap")
        daemon.script.decide("reap", "r5")
        await walk.caught_up()
        await walk.press("x", after=0.4)
        assert daemon.commands == []
        assert "press x once more" in walk.notices()
        await walk.press("x")
        assert daemon.commands == [RunCell(cell="reap")]


async def test_an_x_that_is_held_down_never_runs_anything(walking: Open) -> None:
    daemon = FakeDaemon(waiting())
    async with walking(daemon) as walk:
        await walk.go("reap")
        await walk.press("x")
        daemon.script.decide("reap", "r5")
        await walk.caught_up()
        # The first repeat of a held key comes late, later than the grace after the approval.
        await walk.press("x", after=0.66)
        await walk.press(*["x"] * 8, after=0.03)
        assert daemon.commands == []


async def test_x_does_not_run_an_approval_that_has_run_out(walking: Open) -> None:
    async with walking(FakeDaemon(approved())) as walk:
        await walk.go("reap")
        walk.clock.at = walk.clock.at.replace(hour=3)
        await walk.press("x")
        assert walk.daemon.commands == []
        assert "has run out" in walk.notices()


async def test_the_palette_cannot_press_x(walking: Open) -> None:
    async with walking(FakeDaemon(approved())) as walk:
        await walk.go("reap")
        walk.clock.monotonic += 5
        await walk.screen.run_action("execute")
        assert walk.daemon.commands == []


async def test_v_takes_the_request_back_with_a_reason(walking: Open) -> None:
    async with walking(FakeDaemon(waiting())) as walk:
        await walk.go("reap")
        await walk.press("v")
        await walk.write("wrong value")
        await walk.press("enter")
        assert walk.daemon.commands == [RevokeRequest(request="r5", reason="wrong value")]


async def test_a_denial_says_who_and_why(walking: Open) -> None:
    async with walking(FakeDaemon(denied())) as walk:
        await walk.go("reap")
        assert "DENIED by dana (slack)" in walk.text()
        assert "not before the payment batch" in walk.text()
        assert "r asks again" in walk.text()


async def test_s_skips_with_a_reason_and_not_without(walking: Open) -> None:
    async with walking(FakeDaemon(beginning())) as walk:
        await walk.go("log")
        await walk.press("s")
        await walk.press("enter")
        assert "Say why" in walk.text()
        await walk.write("no time")
        await walk.press("enter")
        assert walk.daemon.commands == [SkipCell(cell="log", reason="no time")]


async def test_escape_skips_nothing(walking: Open) -> None:
    async with walking(FakeDaemon(beginning())) as walk:
        await walk.go("log")
        await walk.press("s")
        await walk.write("no")
        await walk.press("escape")
        assert walk.daemon.commands == []


async def test_enter_ticks_off_what_a_person_does(walking: Open) -> None:
    async with walking(FakeDaemon(done())) as walk:
        script = walk.daemon.script
        script.finish("x7", "verify")
        await walk.caught_up()
        await walk.go("status-page")
        assert "tick off 'Tell the status page'" in walk.text()
        await walk.press("enter")
        await walk.write("said so")
        await walk.press("enter")
        assert walk.daemon.commands == [TickCell(cell="status-page", text="said so")]


async def test_an_enter_that_is_held_down_ticks_nothing_off(walking: Open) -> None:
    script = beginning()
    async with walking(FakeDaemon(script)) as walk:
        await walk.go("status-page")
        await walk.press("enter")
        await walk.press("enter", after=0.66)
        await walk.press(*["enter"] * 8, after=0.03)
        assert walk.daemon.commands == []


async def test_n_notes_at_the_step_and_keeps_a_draft(walking: Open) -> None:
    async with walking(FakeDaemon(beginning())) as walk:
        await walk.go("log")
        await walk.press("n")
        await walk.write("odd")
        await walk.press("escape")
        assert walk.daemon.commands == []
        await walk.press("n")
        await walk.write(" timing")
        await walk.press("ctrl+r")
        assert walk.daemon.commands == [AddNote(text="odd timing", cell="log")]


async def test_a_refused_note_is_not_lost(walking: Open) -> None:
    async with walking(FakeDaemon(beginning())) as walk:
        walk.daemon.refuse = CommandRefused("the disk is full", "make room")
        await walk.press("n")
        await walk.write("mine")
        await walk.press("f5")
        assert "the disk is full; make room" in walk.notices()
        await walk.press("n")
        assert "mine" in walk.text()


@pytest.mark.parametrize("key", ["e", "colon"])
async def test_an_ad_hoc_cell_runs_and_is_gone_to(walking: Open, key: str) -> None:
    async with walking(FakeDaemon(beginning(), obey)) as walk:
        await walk.press(key)
        await walk.write("6*7")
        await walk.press("f5")
        assert walk.daemon.commands == [RunAdhoc(source="6*7")]
        await walk.caught_up()
        assert "✓ done  Ad-hoc cell" in walk.text()
        assert "│ 42" in walk.text()


async def test_i_interrupts_what_runs(walking: Open) -> None:
    async with walking(FakeDaemon(done())) as walk:
        await walk.go("verify")
        assert "i  interrupts; running for 2 s" in walk.text()
        await walk.press("i")
        await walk.press("ctrl+c")
        assert walk.daemon.commands == [Interrupt(), Interrupt()]


async def test_r_runs_a_read_only_step_again(walking: Open) -> None:
    async with walking(FakeDaemon(beginning(), obey)) as walk:
        await walk.go("symptom")
        await walk.press("r")
        await walk.caught_up()
        assert walk.daemon.commands == [RunCell(cell="symptom")]
        assert "run 2" in walk.text()
        shown = "\n".join(walk.screen.view.row_at(y, 80).text for y in range(200))
        assert "requests    41.2 /s" not in shown


async def test_r_asks_again_and_shows_what_became_of_the_last_request(walking: Open) -> None:
    async with walking(FakeDaemon(denied())) as walk:
        await walk.go("reap")
        await walk.press("r")
        assert "request 3fa9c2d1 is denied" in walk.text()
        await walk.press("a")
        assert walk.daemon.commands == [RunCell(cell="reap")]


async def test_c_closes_for_a_reason(walking: Open) -> None:
    async with walking(FakeDaemon(beginning())) as walk:
        await walk.press("c")
        await walk.press("enter")
        assert walk.daemon.commands == []
        await walk.write("healthy")
        await walk.press("enter")
        assert walk.daemon.commands == [CloseSession(reason="healthy")]


async def test_d_leaves_and_commands_nothing(walking: Open) -> None:
    async with walking(FakeDaemon(beginning())) as walk:
        await walk.press("d")
        assert not walk.app.is_running or walk.app._exit
        assert walk.daemon.commands == []


async def test_q_leaves_after_a_question(walking: Open) -> None:
    async with walking(FakeDaemon(beginning())) as walk:
        await walk.press("q")
        assert "runbookd attach 20261124-0207" in walk.text()
        await walk.press("q")
        assert not walk.app._exit
        await walk.press("y")
        assert walk.app._exit


async def test_q_leaves_a_closed_session_at_once(walking: Open) -> None:
    script = beginning()
    script.add(SessionClosed(data=ClosedData(reason="over")))
    async with walking(FakeDaemon(script)) as walk:
        assert "this session is closed" in walk.text()
        await walk.press("q")
        assert walk.app._exit


async def test_h_goes_home_and_back(walking: Open) -> None:
    async with walking(FakeDaemon(beginning())) as walk:
        await walk.press("h")
        assert isinstance(walk.app.screen, HomeScreen)
        await walk.press("enter")
        await walk.until(lambda: "Steps" in walk.text())


async def test_j_and_k_go_from_step_to_step(walking: Open) -> None:
    async with walking(FakeDaemon(Script())) as walk:
        await walk.press("j", "j", "k")
        assert walk.screen.view.selected == "symptom"


async def test_the_selected_step_is_on_the_screen(walking: Open) -> None:
    async with walking(FakeDaemon(done())) as walk:
        for _ in range(12):
            selected = walk.screen.view.selected
            assert any(row[28:30] == "▎ " for row in walk.rows()), selected
            await walk.press("j")


async def test_arrows_and_pages_scroll(walking: Open) -> None:
    async with walking(FakeDaemon(Script())) as walk:
        await walk.press("home")
        await walk.press("down", "down", "up", "pagedown")
        view = walk.screen.view
        assert view.top == 1 + view.page - 1 or view.top > 10
        await walk.press("end")
        assert view.top == view.virtual_size.height - view.page
        await walk.press("g")
        assert view.top == 0


async def test_tab_goes_to_the_outline_where_arrows_choose(walking: Open) -> None:
    async with walking(FakeDaemon(Script())) as walk:
        await walk.press("tab")
        assert isinstance(walk.app.focused, Choices)
        await walk.press("down")
        assert walk.screen.view.selected == "symptom"
        await walk.press("tab")
        assert isinstance(walk.app.focused, NotebookView)


async def test_o_hides_the_outline_where_the_screen_is_narrow(walking: Open) -> None:
    async with walking(FakeDaemon(Script())) as walk:
        assert "Steps" in walk.text()
        await walk.press("o")
        assert "Steps" not in walk.text()
        await walk.pilot.resize_terminal(120, 40)
        await walk.settle()
        assert "Steps" in walk.text()


async def test_z_unfolds_a_long_output(walking: Open) -> None:
    script = Script()
    script.run("setup", "".join(f"row {at}\n" for at in range(1000)))
    async with walking(FakeDaemon(script)) as walk:
        await walk.go("setup")
        view = walk.screen.view
        folded = view.virtual_size.height
        assert any("860 more lines; z unfolds" in view.row_at(y, 80).text for y in range(folded))
        await walk.press("z")
        assert view.virtual_size.height == folded + 859


async def test_the_help_has_every_action(walking: Open) -> None:
    async with walking(FakeDaemon(Script()), size=(120, 80)) as walk:
        await walk.press("question_mark")
        shown = walk.text()
        for action in WALK:
            assert action.help in shown
        await walk.press("escape")
        assert "Steps" in walk.text()


async def test_the_palette_has_every_action_but_moving(walking: Open) -> None:
    async with walking(FakeDaemon(Script())) as walk:
        titles = {command.title for command in walk.screen.palette()}
        wanted = {a for a in WALK if a.group != "Move"}
        assert len(titles) == len(wanted)


async def test_a_click_selects(walking: Open) -> None:
    async with walking(FakeDaemon(Script())) as walk:
        await walk.pilot.click("#outline", offset=(5, 3))
        await walk.settle()
        assert walk.screen.view.selected == "errors-by-code"


async def test_an_observer_is_told_who_drives_and_can_take_the_seat(walking: Open) -> None:
    daemon = FakeDaemon(waiting())
    daemon.person = "bob"
    async with walking(daemon) as walk:
        await walk.go("reap")
        assert "observing; driver is alice; D takes the seat (reason)" in walk.text()
        for key in ("enter", "r", "s", "v", "x", "e", "c"):
            await walk.press(key)
        assert daemon.commands == []
        await walk.press("D")
        await walk.write("alice sleeps")
        await walk.press("enter")
        assert daemon.commands == [TakeDriver(reason="alice sleeps")]


async def test_who_only_observes_cannot_even_take_the_seat(walking: Open) -> None:
    async with walking(FakeDaemon(approved()), observe=True) as walk:
        await walk.go("reap")
        assert "observing; driver is alice" in walk.text()
        for key in ("enter", "x", "D", "n", "s", "r", "i"):
            await walk.press(key)
        assert walk.daemon.commands == []


async def test_a_refused_command_is_one_line(walking: Open) -> None:
    async with walking(FakeDaemon(Script())) as walk:
        walk.daemon.refuse = CommandRefused("bob drives this session", "take the seat first")
        await walk.press("enter")
        assert "bob drives this session; take the seat first" in walk.notices()


async def test_the_lane_hint_stands_under_the_step_that_failed(walking: Open) -> None:
    async with walking(FakeDaemon(failed())) as walk:
        await walk.go("log")
        shown = walk.text()
        assert "✗ What the log" in shown
        assert "the lane's walls  POST /admin/pool was refused" in shown
        assert "HTTP Error 403: Forbidden" in shown
        assert "refused: the" in shown


async def test_an_unknown_outcome_is_said_in_words(walking: Open) -> None:
    async with walking(FakeDaemon(unknown())) as walk:
        await walk.go("reap")
        assert "OUTCOME UNKNOWN, approved by dana" in walk.text()
        assert "the outcome is unknown, so look first" in walk.text()
        assert "» What the log" in walk.text()


async def test_every_state_has_a_word_in_the_outline(walking: Open) -> None:
    for scene, word in (
        (Script, "todo"), (Script, "gated"), (Script, "manual"), (beginning, "done"),
        (waiting, "waiting"), (approved, "approved"), (denied, "denied"), (failed, "failed"),
        (unknown, "unknown"), (unknown, "skipped"), (done, "running"),
    ):  # fmt: skip
        async with walking(FakeDaemon(scene())) as walk:
            assert any(row[:28].rstrip().endswith(word) for row in walk.rows()), word


async def test_the_status_line_says_where_and_how(walking: Open) -> None:
    async with walking(FakeDaemon(Script())) as walk:
        first = walk.rows()[0]
        for part in ("DRILL", "INC-42", "Checkout latency", "sev 2", "lane full", "Slack ok"):
            assert part in first
        assert f"rec {len(walk.daemon.script.lines)}" in first


async def test_a_missing_sandbox_is_never_quiet(walking: Open) -> None:
    from runbookd.events import SandboxReport

    report = SandboxReport(level="none", backend="none", kernel="5.4", why="no Landlock")
    async with walking(FakeDaemon(Script(sandbox=report, unenforced=True))) as walk:
        assert "lane UNENFORCED" in walk.rows()[0]
        assert "read-only cells are NOT walled in" in walk.text()


async def test_an_approval_is_announced_wherever_the_reader_is(walking: Open) -> None:
    daemon = FakeDaemon(waiting())
    async with walking(daemon) as walk:
        await walk.go("setup")
        daemon.script.decide("reap", "r5", reason="go")
        await walk.caught_up()
        assert "dana approved 'Reap leaked connections and enable the reaper': go" in walk.notices()


async def test_what_happened_before_is_no_news(walking: Open) -> None:
    async with walking(FakeDaemon(approved())) as walk:
        assert walk.notices() == ""
