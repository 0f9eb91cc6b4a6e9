"""`lists`: groups of customers written down in a file."""

from pathlib import Path
from urllib.parse import quote

import typer

from cli.addresses import find_endpoints
from cli.homes import HOME_OPTION
from cli.http_client import request
from cli.output import print_json, say

lists = typer.Typer(help="Manual lists of customers, from CSV files.", no_args_is_help=True)
CONFLICT = 409


def register(app: typer.Typer) -> None:
    app.add_typer(lists, name="lists")


@lists.command("upload")
def upload(
    file: Path = typer.Argument(..., help="CSV: kind:value or a profile id a line.", exists=True, dir_okay=False, readable=True),
    list_id: str = typer.Option("", "--list", "-l", help="The list; made where there is none.", show_default="the file's name"),
    replace: bool = typer.Option(False, "--replace", help="Take everybody off the list whom the file doesn't name."),
    home: Path | None = HOME_OPTION,
) -> None:
    """Put customers onto a list that segments can name: {list: ID}."""
    endpoints = find_endpoints(home)
    url, list_id = f"{endpoints.url('segmentation')}/v1/lists", list_id or file.stem
    made = {"id": list_id, "name": list_id}
    request("POST", url, api_key=endpoints.api_key, body=made, allow=(CONFLICT,))
    entries = f"{url}/{quote(list_id, safe='')}/entries"
    answer = request("PUT" if replace else "POST", entries, api_key=endpoints.api_key, content=file.read_bytes()).json()
    unknown, unreadable = answer["unknown"]["count"], answer["unreadable"]["count"]
    say(f"{answer['added']} joined, {answer['removed']} left; {unknown} aren't known yet, {unreadable} lines can't be read.")
    print_json(answer)
