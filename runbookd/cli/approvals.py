"""``runbookd approvals``, ``approve`` and ``deny``: the console channel."""

import sys

import click

from runbookd.api import ApprovalInfo, Decided, Decision
from runbookd.cli.common import homes_to_ask, json_option, print_json, with_client
from runbookd.errors import InputError, NotApproved
from runbookd.settings import Settings
from runbookd.visible import visible


@click.command("approvals", epilog="Example: runbookd approvals")
@json_option
def approvals_command(as_json: bool) -> None:
    """Show the requests that wait for a decision: exactly what would run, with which values."""
    found = [info for _, info in _pending()]
    if as_json:
        print_json([info.model_dump(mode="json") for info in found])
        return
    if not found:
        click.echo("no request waits for a decision", err=True)
    for info in found:
        _show(info)


@click.command("approve", epilog="Example: runbookd approve 3f9a1c42")
@click.argument("request_id", metavar="ID")
@click.option("--reason", default="", help="Goes into the record.")
@json_option
def approve_command(request_id: str, reason: str, as_json: bool) -> None:
    """Approve request ID, as the OS user who runs this. ID: the request's id or its 8 digits."""
    _decide(request_id, Decision(decision="approve", reason=reason), as_json)


@click.command("deny", epilog='Example: runbookd deny 3f9a1c42 --reason "wrong pool"')
@click.argument("request_id", metavar="ID")
@click.option("--reason", required=True, help="Goes into the record and to the requester.")
@json_option
def deny_command(request_id: str, reason: str, as_json: bool) -> None:
    """Deny request ID, as the OS user who runs this. ID: the request's id or its 8 digits."""
    if not reason.strip():
        raise InputError("a denial wants a reason", "give one with --reason")
    _decide(request_id, Decision(decision="deny", reason=reason), as_json)


def _decide(request_id: str, decision: Decision, as_json: bool) -> None:
    fitting = [
        (settings, info)
        for settings, info in _pending()
        if request_id in {info.id, info.fingerprint, info.digest}
    ]
    if len(fitting) != 1:
        raise InputError(
            f"no pending request is called {request_id!r}", "`runbookd approvals` shows them"
        )
    settings, info = fitting[0]
    if sys.stdin.isatty() and not as_json:
        # A person decides: show what would run, and let nothing typed ahead decide it.
        _show(info)
        click.confirm(f"{decision.decision.capitalize()} {info.fingerprint}?", abort=True)
    decided: Decided = with_client(lambda client: client.decide(info.id, decision), settings)
    if as_json:
        print_json(decided.model_dump(mode="json"))
    if not decided.accepted:
        raise NotApproved(f"not counted: {decided.reason}", f"the request is {decided.state}")
    if not as_json:
        click.echo(f"{info.fingerprint} is {decided.state}")


def _pending() -> list[tuple[Settings, ApprovalInfo]]:
    return [
        (home, info)
        for home in homes_to_ask()
        for info in with_client(lambda client: client.approvals(), home)
    ]


def _show(info: ApprovalInfo) -> None:
    click.echo(visible(info.text))
    click.echo(f"To decide: runbookd approve {info.fingerprint}, or deny with --reason\n")
