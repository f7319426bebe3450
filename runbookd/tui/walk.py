"""The walk: what the keys do to a session.

Every action either sends one command to the daemon or says why it cannot. What comes of a command
arrives as events; nothing here changes what is shown of the session.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

from textual import events, work
from textual.app import SystemCommand
from textual.binding import Binding

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
from runbookd.clock import parse_rfc3339
from runbookd.errors import RunbookdError
from runbookd.session.state import OPEN_REQUEST
from runbookd.tui.actions import WALK, bindings
from runbookd.tui.advice import title
from runbookd.tui.ask import AskDialog, about_to_ask
from runbookd.tui.dialogs import ConfirmDialog, Draft, LineDialog, TextDialog
from runbookd.tui.fresh import HELD_S
from runbookd.tui.help import HelpScreen
from runbookd.tui.session_screen import SessionScreen
from runbookd.tui.story import Notice


class WalkScreen(SessionScreen):
    """A session that can be worked on. For the arguments see the class it is made of."""

    BINDINGS = [
        *bindings(WALK, "walk"),
        # What people do by reflex: on the walk it interrupts the step, not the program.
        Binding("ctrl+c", "interrupt", "interrupt", show=False),
    ]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._drafts = {"note": "", "adhoc": ""}
        self._fresh_x = False
        self._entered = 0.0

    def on_key(self, event: events.Key) -> None:
        """Every x counts for whether one is held down, also those that nothing listens to."""
        self._fresh_x = event.key == "x" and self._execute_key.press(self._now())

    def palette(self) -> Iterable[SystemCommand]:
        """The table of actions, for the command palette."""
        for action in WALK:
            if action.group != "Move":
                name = f"{action.label.capitalize()}  ({action.shown})"
                yield SystemCommand(name, action.help, partial(self.run_action, action.name))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Which keys make sense now."""
        state = self.state
        request = self.request
        drives = self._seat.drives(state)
        match action:
            case "execute":
                return drives and request is not None and request.state == "approved"
            case "revoke":
                return drives and request is not None and request.state in OPEN_REQUEST
            case "interrupt":
                return state.running is not None
            case "take_seat":
                return not self._observe and not state.closed and not drives
            case "note":
                return not self._observe and not state.closed
            case "run_again" | "skip" | "adhoc" | "close_session":
                return drives
            case _:
                return True

    def _refused(self) -> bool:
        """Whether nothing can be commanded now; says why."""
        state = self.state
        why = ""
        if not self._connected:
            why = "the daemon does not answer; nothing can be done until it is back"
        elif state.closed:
            why = "the session is closed"
        elif not self._seat.drives(state):
            driver = state.driver or "nobody"
            why = f"{driver} drives this session" + ("" if self._observe else "; D takes the seat")
        elif self.busy:
            why = "the last command is still on its way"
        if why:
            self.say(Notice(why, "warning"))
        return bool(why)

    def send(self, command: Command) -> None:
        """Give a command to the daemon; what comes of it arrives as events."""
        self._sending += 1
        self._frame()
        self._send(command)

    @work(group="commands")
    async def _send(self, command: Command) -> None:
        try:
            accepted = await self._daemon.command(self.session, command)
        except RunbookdError as error:
            self._go_to_adhoc = False
            if isinstance(command, AddNote):
                self._drafts["note"] = command.text
            elif isinstance(command, RunAdhoc):
                self._drafts["adhoc"] = command.source
            self.say(Notice(str(error), "error"))
        else:
            if isinstance(command, RunCell | SkipCell | TickCell | RunAdhoc):
                self._await_seq = accepted.seq
        finally:
            self._sending -= 1
            self._frame()

    def action_next_thing(self) -> None:
        """What the hint says, unless the key is just held down."""
        now, before = self._now(), self._entered
        self._entered = now
        if now - before < HELD_S:
            return
        advice = self.advice
        if advice.act == "go":
            self.select(advice.target)
            return
        if advice.act == "nothing":
            if advice.text:
                said = f"{advice.key}: {advice.text}" if advice.key else advice.text
                self.say(Notice(said))
            return
        if self._refused():
            return
        match advice.act:
            case "run":
                self.send(RunCell(cell=advice.target))
                self.view.show_end()
            case "ask":
                self._ask(advice.target)
            case "tick":
                self._tick_off(advice.target)

    def action_execute(self) -> None:
        """Run what was approved: only by a fresh press of a key that does nothing else."""
        fresh, self._fresh_x = self._fresh_x, False
        request = self.request
        if request is None or request.state != "approved" or self._refused():
            return
        if self._clock.now() >= parse_rfc3339(request.expires_at):
            self.say(Notice("the approval has run out; ask again", "warning"))
        elif not fresh:
            self.say(Notice("that key came too soon or was held; press x once more", "warning"))
        else:
            self.send(RunCell(cell=request.cell))
            self.view.show_end()

    def action_run_again(self) -> None:
        """Run or ask again, whatever became of it before."""
        state = self.state
        cell = state.cells.get(self.view.selected)
        if cell is None or self._refused():
            return
        if cell.mark in {"running", "waiting", "approved"}:
            advice = {
                "running": "it is running",
                "waiting": "it waits for a decision; v takes it back",
            }
            self.say(Notice(advice.get(cell.mark, "it is approved: x runs it"), "warning"))
        elif cell.plan.mode == "manual":
            self._tick_off(cell.plan.id)
        elif cell.plan.mode == "gated":
            self._ask(cell.plan.id)
        else:
            self.send(RunCell(cell=cell.plan.id))
            self.view.show_end()

    @work(group="dialog")
    async def _ask(self, key: str) -> None:
        state = self.state
        step = state.cells[key]
        cell = next(cell for cell in self._story.notebook.cells if cell.id == key)
        shown = about_to_ask(state, self._story.notebook, cell, step)
        yes = await self.app.push_screen_wait(AskDialog(title(step), shown, now=self._now))
        if not yes:
            return
        # The same command would run the step if it had been approved meanwhile.
        if self.state.cells[key].request != step.request:
            self.say(Notice("somebody asked meanwhile; nothing was sent", "warning"))
        elif not self._refused():
            self.send(RunCell(cell=key))

    @work(group="dialog")
    async def _tick_off(self, key: str) -> None:
        step = self.state.cells[key]
        dialog = LineDialog(
            f"Tick off {title(step)}", "Done. A remark, if there is one:", required=False,
            now=self._now,
        )  # fmt: skip
        text = await self.app.push_screen_wait(dialog)
        if text is not None and not self._refused():
            self.send(TickCell(cell=key, text=text))

    @work(group="dialog")
    async def action_skip(self) -> None:
        """Leave the step out."""
        cell = self.state.cells.get(self.view.selected)
        if cell is None or self._refused():
            return
        dialog = LineDialog(f"Skip {title(cell)}", "Why?", required=True, now=self._now)
        reason = await self.app.push_screen_wait(dialog)
        if reason and not self._refused():
            self.send(SkipCell(cell=cell.plan.id, reason=reason))

    @work(group="dialog")
    async def action_revoke(self) -> None:
        """Take the request back."""
        request = self.request
        if request is None or self._refused():
            return
        dialog = LineDialog(
            f"Take request {request.digest[:8]} back", "Why?", required=True, now=self._now
        )
        reason = await self.app.push_screen_wait(dialog)
        if reason and not self._refused():
            self.send(RevokeRequest(request=request.id, reason=reason))

    @work(group="dialog")
    async def action_note(self) -> None:
        """Write a note."""
        if self.closed or not self._connected or self._observe:
            self.say(Notice("no note can be added now", "warning"))
            return
        key = self.view.selected
        cell = self.state.cells.get(key)
        where = f"at {title(cell)}" if cell else "on the timeline"
        text = await self._written(
            "note", f"Note {where}", "It goes on the record and into the postmortem.", verb="keep"
        )
        if text:
            self.send(AddNote(text=text, cell=key if cell else None))

    @work(group="dialog")
    async def action_adhoc(self) -> None:
        """Write and run a cell of one's own."""
        if self._refused():
            return
        text = await self._written(
            "adhoc",
            "Ad-hoc cell, read-only",
            "It runs in the read-only lane and goes on the record.",
            code=True,
            verb="run",
        )
        if text and self._refused():
            self._drafts["adhoc"] = text
        elif text:
            self._go_to_adhoc = True
            self.send(RunAdhoc(source=text))

    async def _written(
        self, kind: str, heading: str, prompt: str, *, code: bool = False, verb: str
    ) -> str:
        dialog = TextDialog(heading, prompt, draft=self._drafts[kind], code=code, verb=verb)
        draft: Draft | None = await self.app.push_screen_wait(dialog)
        if draft is None:
            return ""
        self._drafts[kind] = "" if draft.send else draft.text
        return draft.text if draft.send else ""

    def action_interrupt(self) -> None:
        """Interrupt what runs."""
        if self.state.running is None:
            self.say(Notice("nothing is running; q leaves"))
        elif not self._seat.drives(self.state) or not self._connected:
            self._refused()
        else:
            self.send(Interrupt())

    @work(group="dialog")
    async def action_take_seat(self) -> None:
        """Take the driver's seat."""
        driver = self.state.driver
        prompt = f"{driver} drives. Why do you take over?" if driver else "Why? (may be empty)"
        dialog = LineDialog("Take the driver's seat", prompt, required=bool(driver), now=self._now)
        reason = await self.app.push_screen_wait(dialog)
        if reason is not None and self._connected:
            self.send(TakeDriver(reason=reason))

    @work(group="dialog")
    async def action_close_session(self) -> None:
        """End the session."""
        if self._refused():
            return
        dialog = LineDialog(
            "Close the session for everyone",
            "Nothing can be run in it afterwards. How did it end?",
            required=True,
            now=self._now,
        )
        reason = await self.app.push_screen_wait(dialog)
        if reason and not self._refused():
            self.send(CloseSession(reason=reason))

    def action_detach(self) -> None:
        """Leave the screens; the session goes on."""
        self.app.exit()

    def action_home(self) -> None:
        """Back to the list."""
        _ = self.dismiss()

    @work(group="dialog")
    async def action_quit_walk(self) -> None:
        """Leave, after a question unless the session is closed."""
        if not self.closed:
            dialog = ConfirmDialog(
                "Leave?",
                f"The session goes on; `runbookd attach {self.session}` comes back to it.",
                key="y",
                verb="leave",
                now=self._now,
            )
            if not await self.app.push_screen_wait(dialog):
                return
        self.app.exit()

    def action_help(self) -> None:
        """All keys."""
        _ = self.app.push_screen(HelpScreen())
