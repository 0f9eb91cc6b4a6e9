"""What a person is shown of an import: before, what its rows will become; after, what they did."""

import json
from typing import Any

from cli.output import STDERR, STDOUT, make_table, print_plain, say

_CELL_CHARS = 60


def print_preview(preview: dict[str, Any]) -> None:
    """To standard error: the result of the command is its report."""
    layout = preview["layout"]
    said = [layout["format"], layout["encoding"]]
    if layout["packing"] != "none":
        said.append(layout["packing"])
    if layout["delimiter"] is not None:
        said += [f"separator {json.dumps(layout['delimiter'])}", "header" if layout["header"] else "no header"]
    say(f"{preview['file']['name']}: {', '.join(said)}, about {preview['rows_estimated']:,} rows")
    table = make_table("row", "what", "who", "when", "properties")
    for row in preview["rows"][:5]:
        touchpoint = row["touchpoint"] or {}
        table.add_row(
            str(row["row"]),
            f"not taken: {row['reason']}" if row["reason"] else str(touchpoint.get("name") or touchpoint.get("kind")),
            _shorten(touchpoint.get("identifiers")),
            str(touchpoint.get("occurred_at", "")),
            _shorten(touchpoint.get("properties")),
        )
    STDERR.print(table)
    for warning in preview["warnings"]:
        say(f"! {warning}", style="yellow")


def print_report(shown: dict[str, Any]) -> None:
    report = shown["report"]
    table = make_table("outcome", "reason", "touchpoints", "rows")
    table.add_row("accepted", "", f"{report['accepted']:,}", f"{report['accepted_rows']:,}")
    for reason, count in sorted(report["rejected"].items()):
        table.add_row("rejected", reason, f"{count:,}", f"{report['rejected_rows'][reason]:,}")
    for reason, rows in sorted(report["skipped_rows"].items()):
        table.add_row("skipped", reason, "", f"{rows:,}")
    STDOUT.print(table)
    print_plain(f"import {shown['id']}: {shown['state']}")


def to_report(shown: dict[str, Any]) -> dict[str, Any]:
    return {"id": shown["id"], "state": shown["state"], **shown["report"]}


def _shorten(value: object) -> str:
    text = "" if not value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _CELL_CHARS else f"{text[: _CELL_CHARS - 1]}…"
