"""`rapport import FILE`: upload it, show what it will become, follow the job with a progress bar, report at the end."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cli.addresses import find_endpoints
from cli.errors import CliError
from cli.importing.client import ImportsClient
from cli.importing.report import print_preview, print_report, to_report
from cli.output import STDERR, print_json, say


class Format(StrEnum):
    AUTO = "auto"
    CDNOW = "cdnow"
    ONLINE_RETAIL = "online-retail"
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The file to import.")],
    file_format: Annotated[Format, typer.Option("--format", help="What the file is.")] = Format.AUTO,
    mapping: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="YAML or JSON: which column is what (csv, parquet, ndjson).")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Id of the source; else the one of RAPPORT_WRITE_KEY.")] = None,
    encoding: Annotated[str | None, typer.Option(help="Of a CSV, where the guess is wrong: cp1252, utf-16, ...")] = None,
    delimiter: Annotated[str | None, typer.Option(help="Of a CSV, where the guess is wrong: one character, or tab.")] = None,
    header: Annotated[bool | None, typer.Option("--header/--no-header", help="Whether a CSV's first row names columns.")] = None,
    max_error_ratio: Annotated[
        float | None, typer.Option(min=0, max=1, help="Stop by itself above this share of failed rows.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show how it would be read, and import nothing.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="From the first row, even if it was imported before.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="Don't wait for the end.")] = False,
    errors: Annotated[Path | None, typer.Option(help="Write the rows that weren't taken to this file (.csv or NDJSON).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    home: Annotated[Path | None, typer.Option(help="Folder of the platform's data.")] = None,
) -> None:
    """Import a file's rows. Ctrl-C pauses; the same command goes on where it stopped, and changes nothing once all is in."""
    if errors is not None:
        _check_target(errors)
    form = _fill_form(file_format, mapping, source=source, encoding=encoding, delimiter=delimiter, header=header)
    if max_error_ratio is not None:
        form["max_error_ratio"] = str(max_error_ratio)
    with ImportsClient(find_endpoints(home)) as client:
        if dry_run:
            preview = client.upload(file, form, preview=True)
            print_json(preview) if as_json else print_preview(preview)
            return
        # Kept paused until what it will become has been shown.
        shown = client.upload(file, {**form, "start": "false", "restart": str(restart).lower()})
        if not as_json and not shown["progress"]["done"]:
            print_preview(shown["preview"])
        ended = _run(client, shown, detach=detach)
        if errors is not None:
            client.save_errors(ended["id"], errors)
    print_json(to_report(ended)) if as_json else print_report(ended)
    if ended["state"] == "failed":
        raise CliError(ended["error"]["detail"], hint="--errors FILE writes the rows that failed.")


def _check_target(errors: Path) -> None:
    """Before anything is sent: at the end the rows that failed would have nowhere to go."""
    hint = "Name a file in a folder that is there and can be written to: --errors bad.csv."
    folder = errors.parent
    if not folder.is_dir():
        raise CliError(f"There is no folder {folder} for the rows that fail.", hint=hint)
    if errors.is_dir() or not os.access(errors if errors.exists() else folder, os.W_OK):
        raise CliError(f"The rows that fail can't be written to {errors}.", hint=hint)


def _fill_form(file_format: Format, mapping: Path | None, **given: str | bool | None) -> dict[str, str]:
    form = {"format": file_format.value}
    if mapping is not None:
        try:
            form["mapping"] = mapping.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CliError(f"The mapping {mapping} can't be read: {error}.") from error
    for name, value in given.items():
        if value is not None:
            form[name] = str(value).lower() if isinstance(value, bool) else value
    return form


def _run(client: ImportsClient, shown: dict[str, Any], *, detach: bool) -> dict[str, Any]:
    done = shown["progress"]["done"]
    if shown["state"] == "succeeded":
        say(f"This file was imported at {shown['finished_at']}: nothing is to be done. --restart sends its rows again.")
        return shown
    if shown["state"] in {"paused", "failed", "cancelled"}:
        if done:
            say(f"Going on after {done:,} rows of an earlier run.")
        shown = client.command(shown["id"], "resume")
    if detach:
        say(f"Import {shown['id']} goes on by itself; the same command shows how far it is.")
        return shown
    try:
        return _follow(client, shown)
    except KeyboardInterrupt:
        paused = client.command(shown["id"], "pause")
        say(f"Paused after {paused['progress']['done']:,} rows. The same command goes on.")
        raise


def _follow(client: ImportsClient, shown: dict[str, Any]) -> dict[str, Any]:
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=STDERR) as progress:
        bar = progress.add_task(shown["file"]["name"], total=shown["progress"]["total"])
        for now in client.follow(shown["id"]):
            shown = now
            progress.update(bar, completed=shown["progress"]["done"], total=shown["progress"]["total"])
    return shown
