"""``runbookd export`` and ``verify``: what is made of a record, without a daemon."""

import sys
from pathlib import Path

import click

from runbookd.cli.common import homes, json_option, print_json, record_folder
from runbookd.errors import InputError, RecordError, RunbookdError


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
    temporary = output.with_name(f".{output.name}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(output)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise InputError(
            f"{output} cannot be written: {error.strerror}", "give another file with -o"
        ) from None
    click.echo(f"wrote {output}", err=True)


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
    from runbookd.record.verify import verify

    if every == (session is not None):
        raise InputError("name one session or path, or give --all", "see `runbookd verify --help`")
    folders = [record_folder(session)] if session is not None else _all_folders()
    notes = [path.read_text("utf-8") for path in checkpoints]
    reports = {str(folder): verify(folder, checkpoints=notes) for folder in folders}
    if as_json:
        shown = {name: report.model_dump(mode="json") for name, report in reports.items()}
        print_json(shown if every else next(iter(shown.values())))
    else:
        for name, report in reports.items():
            if every:
                click.echo(name)
            for line in report.lines():
                click.echo(line)
    broken = [name for name, report in reports.items() if not report.ok]
    if broken:
        raise RecordError(f"{len(broken)} of {len(reports)} records do not verify")


def _all_folders() -> list[Path]:
    found: list[Path] = []
    for home in homes():
        try:
            found += sorted(home.sessions.iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RunbookdError(f"{home.sessions} cannot be read: {error.strerror}") from None
    return [folder for folder in found if (folder / "record.jsonl").is_file()]
