"""`tail`: what a source sends, as it comes: taken or refused, and why."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import typer

from cli.addresses import find_endpoints
from cli.errors import CliError
from cli.homes import HOME_OPTION
from cli.http_client import describe_problem
from cli.output import print_plain, say

READ_TIMEOUT_S = 30.0
"""The service says something every second at least."""


def register(app: typer.Typer) -> None:
    app.command("tail")(tail)


def tail(
    source: str = typer.Argument(..., help="The source's id: dev-server, dev-web, ..."),
    as_json: bool = typer.Option(False, "--json", help="Whole events, one a line."),
    follow: bool = typer.Option(True, "--follow/--no-follow", "-f", help="Go on as events come, or only the last hundred."),
    home: Path | None = HOME_OPTION,
) -> None:
    """The last events of a source and those that come. Personal data shows to keys with the scope sources:personal-data."""
    endpoints = find_endpoints(home)
    url = f"{endpoints.url('ingest')}/v1/sources/{quote(source, safe='')}/events"
    for kind, event in follow_events(url, endpoints.api_key):
        if kind == "live":
            if not follow:
                return
            say("Waiting for events. Ctrl-C ends it.", style="dim")
        elif kind in {"accepted", "rejected"}:
            print_plain(json.dumps({"event": kind, **event}, ensure_ascii=False) if as_json else render_event(kind, event))


def follow_events(url: str, api_key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and data of each event, until the service ends it. Raises CliError with what it said."""
    timeout = httpx.Timeout(READ_TIMEOUT_S)
    headers = {"Authorization": f"Bearer {api_key}", "Accept": "text/event-stream"}
    with httpx.Client(timeout=timeout, trust_env=False) as client, client.stream("GET", url, headers=headers) as answer:
        if not answer.is_success:
            answer.read()
            raise CliError(describe_problem(answer), hint=f"GET {url} answered {answer.status_code}.")
        yield from parse_events(answer.iter_lines())


def parse_events(lines: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Server-sent events, as far as our own service writes them: one line of data each."""
    kind = ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            kind = value
        elif field == "data":
            yield kind, json.loads(value)


def render_event(kind: str, event: Mapping[str, Any]) -> str:
    at = str(event.get("received_at", ""))[11:19]
    if kind == "rejected":
        return f"{at}  refused   {event.get('reason')}: {event.get('detail')} ({event.get('path')})"
    who = " ".join(f"{one['kind']}:{one['value']}" for one in event.get("identifiers", []))
    flags = f"  [{', '.join(event['flags'])}]" if event.get("flags") else ""
    return f"{at}  taken     {event.get('name')} ({event.get('channel')})  {who}{flags}"
