"""`send`: one touchpoint through the front door, and what became of it in every service."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

import typer

from cli.addresses import Endpoints, find_endpoints
from cli.errors import fail
from cli.homes import HOME_OPTION
from cli.http_client import request
from cli.output import STDOUT, make_table, print_json, say

send = typer.Typer(help="Send a touchpoint and see what becomes of it.", no_args_is_help=True)
WAIT_MS = 10_000
NOT_YET = 504
NOT_FOUND = 404


def register(app: typer.Typer) -> None:
    app.add_typer(send, name="send")


@send.callback()
def about() -> None:
    """Send a touchpoint and see what becomes of it."""


@send.command("track")
def track(
    name: str = typer.Argument(..., help='What happened: "Order Completed", "Page Viewed", ...'),
    user: str | None = typer.Option(None, "--user", "-u", help="user_id"),
    email: str | None = typer.Option(None, "--email", "-e"),
    anonymous: str | None = typer.Option(None, "--anonymous", "-a", help="anonymous_id"),
    card: str | None = typer.Option(None, "--card", help="loyalty_card"),
    identifier: list[str] = typer.Option([], "--id", help="Another identifier: kind=value; may be repeated."),
    prop: list[str] = typer.Option([], "--prop", "-p", help="name=value; JSON where it is JSON; may be repeated."),
    trait: list[str] = typer.Option([], "--trait", "-t", help="name=value; may be repeated."),
    channel: str | None = typer.Option(None, "--channel", "-c"),
    as_json: bool = typer.Option(False, "--json", help="The whole profile."),
    home: Path | None = HOME_OPTION,
) -> None:
    """As in: rapport send track "Order Completed" --user u1 --prop order_id=o1 --prop revenue=19.99 --prop currency=EUR"""
    named = {"user_id": user, "email": email, "anonymous_id": anonymous, "loyalty_card": card}
    identifiers = {kind: value for kind, value in named.items() if value} | parse_pairs(identifier, raw=True)
    if not identifiers:
        fail("Who did it?", hint="Give --user, --email, --anonymous, --card or --id kind=value.")
    touchpoint: dict[str, object] = {
        "name": name,
        "kind": "track",
        "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "identifiers": identifiers,
        "properties": parse_pairs(prop),
    }
    if traits := parse_pairs(trait):
        touchpoint["traits"] = traits
    if channel:
        touchpoint["channel"] = channel
    endpoints = find_endpoints(home)
    touchpoint_id = deliver(endpoints, touchpoint)
    kind, value = next(iter(identifiers.items()))
    show_effects(endpoints, quote(f"{kind}:{value}", safe=""), touchpoint_id, as_json=as_json)


def parse_pairs(pairs: list[str], *, raw: bool = False) -> dict[str, object]:
    """name=value, the value read as JSON where it is that (19.99, true, ["a"]), else as text."""
    parsed: dict[str, object] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            fail(f"{pair} isn't name=value.", hint="As in: --prop revenue=19.99")
        parsed[name] = text if raw else parse_value(text)
    return parsed


def parse_value(text: str) -> object:
    """NaN and Infinity are words: JSON knows no such numbers."""
    try:
        value: object = json.loads(text, parse_constant=_refuse)
    except ValueError:
        return text
    except RecursionError:
        fail("A value is nested too deeply.")
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        fail(f"{text} holds a number that is too large to be sent.", hint="Put it in quotes to send it as text: '\"1e400\"'.")
    return value


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)


def deliver(endpoints: Endpoints, touchpoint: dict[str, object]) -> str:
    """The touchpoint's id. Raises CliError with the reason when it is refused."""
    url = f"{endpoints.url('ingest')}/v1/touchpoints"
    answer = request("POST", url, write_key=endpoints.write_key, body={"touchpoints": [touchpoint]}).json()
    for refused in answer.get("rejected", []):
        fail(f"Refused: {refused.get('reason')}. {refused.get('detail') or ''}".strip())
    accepted: str = answer["accepted"][0]["id"]
    say(f"accepted as {accepted}", style="dim")
    return accepted


def show_effects(endpoints: Endpoints, ref: str, touchpoint_id: str, *, as_json: bool) -> None:
    """The profile once the touchpoint is in it; then what segments and points came of it."""
    wait = {"wait_for": touchpoint_id, "wait_ms": str(WAIT_MS)}
    answer = request(
        "GET", f"{endpoints.url('profile')}/v1/profiles/{ref}", api_key=endpoints.api_key, params=wait, allow=(NOT_YET,)
    )
    if answer.status_code == NOT_YET:
        fail("Accepted, but not in the profile yet.", hint="`rapport status` shows how far behind the services are.")
    profile = answer.json()
    if as_json:
        print_json(profile)
        return
    orders = profile.get("aggregates", {}).get("orders", {})
    table = make_table("what", "now")
    table.add_row("profile", f"{profile.get('id')} (version {profile.get('version')})")
    table.add_row("identifiers", ", ".join(f"{one['kind']}:{one['value']}" for one in profile.get("identifiers", [])))
    table.add_row("orders", f"{orders.get('count', 0)}, net {orders.get('net_minor', {})}")
    table.add_row("segments", describe_segments(endpoints, ref, wait))
    table.add_row("points", describe_points(endpoints, ref, wait))
    STDOUT.print(table)


def describe_segments(endpoints: Endpoints, ref: str, wait: dict[str, str]) -> str:
    answer = request(
        "GET",
        f"{endpoints.url('segmentation')}/v1/memberships/{ref}",
        api_key=endpoints.api_key,
        params=wait,
        allow=(NOT_FOUND, NOT_YET),
    )
    if answer.status_code == NOT_YET:
        return "not judged yet"
    if answer.status_code == NOT_FOUND:
        return "none"
    body = answer.json()
    items = body.get("segments") or body.get("items") or [] if isinstance(body, dict) else body
    return ", ".join(str(item.get("id", item)) if isinstance(item, dict) else str(item) for item in items) or "none"


def describe_points(endpoints: Endpoints, ref: str, wait: dict[str, str]) -> str:
    answer = request(
        "GET", f"{endpoints.url('loyalty')}/v1/members/{ref}", api_key=endpoints.api_key, params=wait, allow=(NOT_FOUND, NOT_YET)
    )
    if answer.status_code == NOT_YET:
        return "not counted yet"
    return "none" if answer.status_code == NOT_FOUND else str(answer.json().get("balance", 0))
