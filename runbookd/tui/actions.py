"""The one table of what can be done on the walk: keys, footer, help and palette come from it."""

# ruff: noqa: E501 (a table is read best with one row for each action)

import re
from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(frozen=True, slots=True)
class Action:
    """Something a person can do.

    ``name`` is the method of the screen (``action_<name>``) and the id under which the key can be
    configured; ``label`` stands in the footer when ``footer`` is set, ``help`` on the help screen
    and in the palette.
    """

    name: str
    keys: str
    shown: str
    label: str
    help: str
    group: str
    footer: bool = False

    @property
    def id(self) -> str:
        """The name as a word: ``scroll_page_down``."""
        return "_".join(re.findall(r"\w+", self.name))


WALK = (
    Action("next_thing", "enter", "Enter", "next", "Do what the hint says: run, ask, tick off, go on", "Walk"),
    Action("execute", "x", "x", "run it", "Run the step that was approved, once", "Walk", True),
    Action("run_again", "r", "r", "again", "Run the step again, or ask for approval again", "Walk", True),
    Action("skip", "s", "s", "skip", "Leave the step out, and say why", "Walk", True),
    Action("interrupt", "i", "i", "interrupt", "Interrupt what is running (also Ctrl+C)", "Walk", True),
    Action("revoke", "v", "v", "revoke", "Take the request for approval back", "Walk", True),
    Action("note", "n", "n", "note", "Put a note on the timeline, at this step", "Evidence", True),
    Action("adhoc", "e,colon", "e", "ad hoc", "Write a cell of your own and run it read-only (also :)", "Evidence", True),
    Action("next_item", "j", "j", "next step", "Go to the next step", "Move"),
    Action("previous_item", "k", "k", "step before", "Go to the step before", "Move"),
    Action("scroll('down')", "down", "↓", "down", "Scroll down a row; in the outline: next step", "Move"),
    Action("scroll('up')", "up", "↑", "up", "Scroll up a row; in the outline: step before", "Move"),
    Action("scroll('page_down')", "pagedown,space", "PgDn", "page down", "Scroll a page down (also Space)", "Move"),
    Action("scroll('page_up')", "pageup", "PgUp", "page up", "Scroll a page up", "Move"),
    Action("scroll('home')", "home,g", "Home", "top", "To the top (also g)", "Move"),
    Action("scroll('end')", "end,G", "End", "bottom", "To the bottom (also G)", "Move"),
    Action("unfold", "z", "z", "unfold", "Show all kept lines of a long output, or fold it", "View"),
    Action("outline", "o", "o", "outline", "Show or hide the outline (always shown from 100 columns)", "View"),
    Action("other_pane", "tab", "Tab", "other pane", "Between outline and notebook", "View"),
    Action("take_seat", "D", "D", "drive", "Take the driver's seat, and say why", "Together", True),
    Action("detach", "d", "d", "detach", "Leave; the session goes on, `runbookd attach` finds it", "Leave", True),
    Action("close_session", "c", "c", "close", "End the session for everyone, and say why", "Leave"),
    Action("home", "h,escape", "h", "home", "To the list of runbooks and sessions; this one goes on", "Leave"),
    Action("quit_walk", "q", "q", "quit", "Leave, after a question; the session goes on", "Leave"),
    Action("help", "question_mark", "?", "help", "All keys", "Leave", True),
)  # fmt: skip

HOME = (
    Action(
        "open", "enter", "Enter", "open", "Open the runbook, or go to the session", "Home", True
    ),
    Action("refresh", "r", "r", "refresh", "Look again at once", "Home", True),
    Action("help", "question_mark", "?", "help", "All keys", "Home", True),
    Action("leave", "q,escape", "q", "quit", "Leave; sessions go on", "Home", True),
)


def bindings(actions: tuple[Action, ...], prefix: str) -> list[BindingType]:
    """The actions as bindings of a screen; ids are ``<prefix>.<action>``."""
    return [
        Binding(
            action.keys,
            action.name,
            action.label,
            show=False,
            key_display=action.shown,
            id=f"{prefix}.{action.id}",
        )
        for action in actions
    ]
