"""`segments`: definitions kept as YAML files: tried out, stored, explained for one customer."""

import time
from pathlib import Path
from urllib.parse import quote

import typer

from cli.addresses import find_endpoints
from cli.definitions import read_definition
from cli.errors import fail
from cli.homes import HOME_OPTION
from cli.http_client import request
from cli.output import STDOUT, make_table, print_json, print_plain, say

segments = typer.Typer(help="Segment definitions from YAML files.", no_args_is_help=True)
FILE = typer.Argument(..., help="YAML: id, name, description, rule.", exists=True, dir_okay=False, readable=True)
FIELDS = ("id", "name", "description", "rule")
CONFLICT = 409
POLL_S = 0.3


def register(app: typer.Typer) -> None:
    app.add_typer(segments, name="segments")


def load_definition(file: Path) -> dict[str, object]:
    """Raises CliError for a file that isn't a definition."""
    content = read_definition(file)
    if not isinstance(content, dict) or "rule" not in content:
        fail(f"{file} has no rule.", hint="A definition: id: vip, name: VIP, rule: {view: aggregates.orders.count, gte: 3}")
    if unknown := sorted(set(content) - set(FIELDS)):
        fail(f"{file} has an unknown field {unknown[0]}.", hint=f"Fields: {', '.join(FIELDS)}.")
    return content


@segments.command("preview")
def preview(file: Path = FILE, home: Path | None = HOME_OPTION) -> None:
    """How many customers the rule picks now, and a few of them. Stores nothing."""
    endpoints = find_endpoints(home)
    url = f"{endpoints.url('segmentation')}/v1/segments/preview"
    answer = request("POST", url, api_key=endpoints.api_key, body={"rule": load_definition(file)["rule"]}).json()
    print_plain(f"{answer.get('count')} of {answer.get('of')}")
    table = make_table("sample")
    for one in answer.get("sample", []):
        table.add_row(str(one.get("profile_id", one) if isinstance(one, dict) else one))
    STDOUT.print(table)


@segments.command("create")
def create(file: Path = FILE, home: Path | None = HOME_OPTION) -> None:
    """Store it; a new version where a segment of that id is there already."""
    endpoints = find_endpoints(home)
    definition = load_definition(file)
    url = f"{endpoints.url('segmentation')}/v1/segments"
    answer = request("POST", url, api_key=endpoints.api_key, body=definition, allow=(CONFLICT,))
    if answer.status_code == CONFLICT and "id" in definition:
        body = {name: value for name, value in definition.items() if name != "id"}
        answer = request("PUT", f"{url}/{quote(str(definition['id']), safe='')}", api_key=endpoints.api_key, body=body)
    stored = answer.json()
    say(f"Segment {stored.get('id', definition.get('id'))} is stored.")
    print_json(stored)


@segments.command("verify")
def verify(
    segment: str = typer.Argument("", help="A segment's id; all where left out."),
    home: Path | None = HOME_OPTION,
) -> None:
    """Compare the stored members with what the rules say of what is stored. Ends with 1 where they differ."""
    endpoints = find_endpoints(home)
    base = endpoints.url("segmentation")
    path = f"/v1/segments/{quote(segment, safe='')}/verify" if segment else "/v1/segments/verify"
    job = request("POST", base + path, api_key=endpoints.api_key).json()
    while job["state"] in ("queued", "running"):
        time.sleep(POLL_S)
        job = request("GET", f"{base}/v1/jobs/{job['id']}", api_key=endpoints.api_key).json()
    if job["state"] != "succeeded":
        fail(f"The comparison {job['state']}: {(job.get('error') or {}).get('detail', 'no more is known')}.", hint="Try again.")
    found = job["result"]
    print_plain(f"{found['compared']} memberships of {found['profiles']} profiles compared, {found['differences']} differences.")
    if found["filling"]:
        print_plain(f"Not compared, since their back-fill or a list of theirs isn't through: {', '.join(found['filling'])}.")
    if found["differences"]:
        table = make_table("segment", "profile", "difference")
        for one in found["examples"]:
            table.add_row(one["segment_id"], one["profile_id"], one["what"])
        STDOUT.print(table)
        raise typer.Exit(1)


@segments.command("explain")
def explain(
    file: Path = FILE,
    ref: str = typer.Argument(..., help="The customer: a profile id or kind:value."),
    home: Path | None = HOME_OPTION,
) -> None:
    """Why this customer is in the segment of that file, or isn't."""
    definition = load_definition(file)
    if "id" not in definition:
        fail(f"{file} has no id.", hint="`rapport segments create` stores it and shows the id it got.")
    endpoints = find_endpoints(home)
    path = f"/v1/segments/{quote(str(definition['id']), safe='')}/explain/{quote(ref, safe='')}"
    print_json(request("GET", endpoints.url("segmentation") + path, api_key=endpoints.api_key).json())
