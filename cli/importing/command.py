"""`rapport import FILE`: a progress bar while it runs, a report of what became of the rows at the end."""

import asyncio
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from cli.addresses import find_endpoints
from cli.errors import CliError
from cli.homes import resolve_home
from cli.importing.cdnow import CdnowReader
from cli.importing.delivery import Tally, cut_batches, deliver
from cli.importing.mapping import load_mapping
from cli.importing.online_retail import OnlineRetailReader
from cli.importing.progress import Bookmark
from cli.importing.rows import Reader
from cli.importing.tables import TableReader
from cli.output import STDERR, STDOUT, make_table, print_json

SAVE_EVERY_STEPS = 2_000


class Format(StrEnum):
    CDNOW = "cdnow"
    ONLINE_RETAIL = "online-retail"
    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


def import_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The file to import.")],
    file_format: Annotated[Format, typer.Option("--format", help="What the file is.")],
    mapping: Annotated[Path | None, typer.Option(help="YAML: which column is what (csv, parquet, ndjson).")] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="From the first row, even if an earlier run was interrupted.")
    ] = False,
    parallel: Annotated[int, typer.Option(min=1, max=32, help="Requests under way at once.")] = 4,
    as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
    home: Annotated[Path | None, typer.Option(help="Folder of the platform's data.")] = None,
) -> None:
    """Send a file's rows through the ingest API. A second run changes nothing; an interrupted one goes on where it stopped."""
    reader = build_reader(file_format, mapping)
    endpoints = find_endpoints(home)
    described = (file_format.value, mapping.read_text(encoding="utf-8") if mapping else "", endpoints.url("ingest"))
    bookmark = Bookmark(resolve_home(home), file, *described)
    earlier = None if restart else bookmark.load()
    if earlier is not None:
        STDERR.print(f"Going on after {earlier.rows:,} rows of an earlier run.")
    tally = asyncio.run(_run(reader, file, bookmark, earlier or Tally(), endpoints.url("ingest"), endpoints.write_key, parallel))
    bookmark.forget()
    _report(tally, as_json=as_json)


def build_reader(file_format: Format, mapping: Path | None) -> Reader:
    if file_format in (Format.CDNOW, Format.ONLINE_RETAIL):
        if mapping is not None:
            raise CliError(f"--format {file_format.value} has a mapping of its own.", hint="Leave --mapping out.")
        return CdnowReader() if file_format is Format.CDNOW else OnlineRetailReader()
    return TableReader(file_format.value, load_mapping(mapping) if mapping is not None else None)


async def _run(reader: Reader, file: Path, bookmark: Bookmark, tally: Tally, url: str, write_key: str, parallel: int) -> Tally:
    steps = islice(reader.read(file), tally.steps, None)
    saved = tally.steps
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=STDERR,
    ) as shown:
        bar = shown.add_task(file.name, total=reader.count_rows(file), completed=tally.rows)

        def report(now: Tally) -> None:
            nonlocal saved
            shown.update(bar, completed=now.rows)
            if now.steps - saved >= SAVE_EVERY_STEPS:
                bookmark.save(now)
                saved = now.steps

        limits = httpx.Limits(max_connections=parallel)
        async with httpx.AsyncClient(base_url=url, auth=(write_key, ""), timeout=60, limits=limits) as client:
            try:
                await deliver(client, cut_batches(steps), tally, parallel=parallel, progress=report)
            finally:
                bookmark.save(tally)
    return tally


def _report(tally: Tally, *, as_json: bool) -> None:
    if as_json:
        print_json(tally.to_dict())
        return
    table = make_table("outcome", "reason", "touchpoints", "rows")
    table.add_row("accepted", "", f"{tally.accepted:,}", f"{tally.accepted_rows:,}")
    for reason, count in sorted(tally.rejected.items()):
        table.add_row("rejected", reason, f"{count:,}", f"{tally.rejected_rows[reason]:,}")
    for reason, rows in sorted(tally.skipped_rows.items()):
        table.add_row("skipped", reason, "", f"{rows:,}")
    STDOUT.print(table)
