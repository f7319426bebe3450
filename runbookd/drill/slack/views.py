"""The methods for modals: ``views.open``, ``views.push`` and ``views.update``."""

import secrets
from typing import Any

from runbookd.drill.slack.answers import Arguments, SlackError
from runbookd.drill.slack.content import as_stored
from runbookd.drill.slack.modals import complaints_about_view
from runbookd.drill.slack.people import APP, BOT, TEAM
from runbookd.drill.slack.workspace import Trigger, View, Workspace


def open_view(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    """``views.open``: within 3 s of what the person did, and once."""
    view = _valid(arguments.structure("view", "invalid_arguments"))
    trigger = _exchange(workspace, arguments)
    return {"ok": True, "view": shown(workspace, trigger.user, view).body}


def push_view(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    """``views.push``: on top of the modal that is open; at most three."""
    view = _valid(arguments.structure("view", "invalid_arguments"))
    trigger = _exchange(workspace, arguments)
    below = stack_of(workspace, trigger.user)
    if not below:
        raise SlackError("not_found")
    if len(below) >= 3:
        raise SlackError("push_limit_reached")
    return {"ok": True, "view": shown(workspace, trigger.user, view, below[-1]).body}


def update_view(workspace: Workspace, arguments: Arguments) -> dict[str, Any]:
    """``views.update`` by ``view_id`` or ``external_id``, if the hash still fits."""
    body = _valid(arguments.structure("view", "invalid_arguments"))
    view_id, external_id = arguments.text("view_id"), arguments.text("external_id")
    view = next(
        (
            each
            for each in workspace.views.values()
            if each.open
            and (
                each.body["id"] == view_id
                or (external_id is not None and each.body["external_id"] == external_id)
            )
        ),
        None,
    )
    if view is None:
        raise SlackError("not_found")
    if arguments.text("hash") not in (None, view.body["hash"]):
        raise SlackError("hash_conflict")
    replace_view(workspace, view, body)
    return {"ok": True, "view": view.body}


def shown(workspace: Workspace, user: str, body: dict[str, Any], below: View | None = None) -> View:
    """Put a modal on a person's screen."""
    view_id = workspace.new_id("V0")
    root = below.body["root_view_id"] if below else view_id
    previous = below.body["id"] if below else None
    view = View(user, _stored(workspace, body, view_id, root, previous))
    workspace.views[view_id] = view
    workspace.changed()
    return view


def replace_view(workspace: Workspace, view: View, body: dict[str, Any]) -> None:
    """Show other content in a modal that is open."""
    kept = view.body
    view.body = _stored(workspace, body, kept["id"], kept["root_view_id"], kept["previous_view_id"])
    view.errors = {}
    workspace.changed()


def close_views(workspace: Workspace, views: list[View]) -> None:
    """Take modals off the screen."""
    for view in views:
        view.open = False
    workspace.changed()


def stack_of(workspace: Workspace, user: str) -> list[View]:
    """The modals on a person's screen, topmost last."""
    return [view for view in workspace.views.values() if view.open and view.user == user]


def _valid(view: Any) -> dict[str, Any]:
    if view is None:
        raise SlackError("invalid_arguments", ["missing required field: view [json-pointer:]"])
    complaints = complaints_about_view(view)
    if complaints:
        raise SlackError("invalid_arguments", complaints)
    assert isinstance(view, dict)
    return view


def _exchange(workspace: Workspace, arguments: Arguments) -> Trigger:
    trigger = workspace.triggers.get(arguments.needed("trigger_id"))
    if trigger is None:
        raise SlackError("invalid_trigger_id")
    if trigger.used:
        raise SlackError("exchanged_trigger_id")
    if trigger.expires <= workspace.now():
        raise SlackError("expired_trigger_id")
    trigger.used = True
    return trigger


def _stored(
    workspace: Workspace, body: dict[str, Any], view_id: str, root: str, previous: str | None
) -> dict[str, Any]:
    return {
        "id": view_id,
        "team_id": TEAM,
        "type": "modal",
        "blocks": as_stored(body["blocks"], lambda: workspace.new_id("")),
        "private_metadata": body.get("private_metadata", ""),
        "callback_id": body.get("callback_id", ""),
        "state": {"values": {}},
        "hash": f"{workspace.new_ts()}.{secrets.token_hex(4)}",
        "title": body["title"],
        "clear_on_close": body.get("clear_on_close", False),
        "notify_on_close": body.get("notify_on_close", False),
        "close": body.get("close"),
        "submit": body.get("submit"),
        "previous_view_id": previous,
        "root_view_id": root,
        "app_id": APP,
        "external_id": body.get("external_id", ""),
        "app_installed_team_id": TEAM,
        "bot_id": BOT,
    }
