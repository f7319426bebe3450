"""``runbookd export`` and ``verify``: what is made of a record, without a daemon."""

import secrets
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runbookd.cli.common import homes, json_option, print_json, record_folder
from runbookd.errors import InputError, RecordError
from runbookd.visible import visible

if TYPE_CHECKING:
    from runbookd.record.report import Report


@click.command("export", epilog="Example: runbookd export 20261124-0207 -o postmortem.md")
@click.argument("session", metavar="SESSION|PATH")
@click.option("-f", "--format", "form", type=click.Choice(["md"]), default="md", show_default=True)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path))
def export_command(session: str, form: str, output: Path | None) -> None:
    """Draft a postmortem from the record of SESSION, or from the folder at PATH."""
    del form  # one so far
    from runbookd.postmortem.export import export_markdown

    text = export_markdown(record_folder(session))
    if output is None:
        sys.stdout.buffer.write(text.encode())
        return
    try:
        _write(output, text.encode())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise InputError(
            f"{output} cannot be written: {why}", "give another file with -o"
        ) from None
    click.echo(f"wrote {output}", err=True)


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; a device or a pipe is written to and stays what it is.

    Raises:
        OSError, ValueError: it cannot be written, or is no name of a file.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)
        return
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@click.command("verify", epilog="Example: runbookd verify ./20261124-020731-checkout-latency-3f9a")
@click.argument("session", metavar="SESSION|PATH", required=False)
@click.option("--all", "every", is_flag=True, help="Verify all sessions of this home.")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A checkpoint that was kept elsewhere; the record must agree with it.",
)
@json_option
def verify_command(
    session: str | None, every: bool, checkpoints: tuple[Path, ...], as_json: bool
) -> None:
    """Verify a record: integrity, completeness, anchoring, meaning. Needs only its folder."""
    from runbookd.record.verify import verify, verify_all

    if every == (session is not None):
        raise InputError("name one session or path, or give --all", "see `runbookd verify --help`")
    notes = [path.read_text("utf-8", "replace") for path in checkpoints]
    if session is not None:
        report = verify(record_folder(session), checkpoints=notes)
        _show([report], (), as_json, report.model_dump(mode="json"))
        return
    overviews = [
        verify_all(home.sessions, checkpoints=notes) for home in homes() if home.sessions.is_dir()
    ]
    reports = [report for overview in overviews for report in overview.reports]
    missing = [finding.text for overview in overviews for finding in overview.missing]
    whole = {
        "reports": [report.model_dump(mode="json") for report in reports],
        "missing": missing,
    }
    _show(reports, missing, as_json, whole)


def _show(
    reports: "Sequence[Report]", missing: Sequence[str], as_json: bool, whole: dict[str, Any]
) -> None:
    """Print what was found.

    Raises:
        RecordError: a record does not verify, or a session is missing.
    """
    if as_json:
        print_json(whole)
    else:
        for report in reports:
            for line in report.lines():
                click.echo(visible(line))
        for text in missing:
            click.echo(f"missing: {visible(text)}")
    broken = sum(not report.ok for report in reports)
    if broken:
        raise RecordError(f"{broken} of {len(reports)} records do not verify")
    if missing:
        raise RecordError(f"{len(missing)} sessions are missing", "look for a copy of them")
