"""`keys`: API keys and write keys. A key is shown once, when it is made; only its hash is stored."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.addresses import load_settings
from cli.errors import fail
from cli.homes import HOME_OPTION
from cli.output import STDOUT, make_table, print_plain, say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from libs.kit.db import Database

keys = typer.Typer(help="API keys and write keys.", no_args_is_help=True)
SCOPES_OPTION = typer.Option("*", "--scopes", "-s", help="Comma-separated: profiles:read, segments:write, ... or *.")


def register(app: typer.Typer) -> None:
    app.add_typer(keys, name="keys")


@asynccontextmanager
async def open_access(home: Path | None) -> "AsyncIterator[Database]":
    from libs.kit.access_tables import SCHEMA
    from libs.kit.db import Database

    settings = load_settings(home)
    database = await Database.open(settings.postgres, schema=SCHEMA, application_name="rapport-cli", max_size=1, wait_s=0)
    try:
        yield database
    finally:
        await database.close()


@keys.command("create")
def create(
    name: str = typer.Argument(..., help="For an API key: who holds it. For a write key: the source's id."),
    scopes: str = SCOPES_OPTION,
    write: bool = typer.Option(False, "--write", help="A write key for the source NAME instead of an API key."),
    kind: str = typer.Option("server", "--kind", help="Of the source, if it is new: web, mobile, server, pos, webhook, import."),
    home: Path | None = HOME_OPTION,
) -> None:
    """Make a key and print it: this once."""
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    key = asyncio.run(create_write(home, name, kind) if write else create_api(home, name, wanted))
    print_plain(key)
    say("Keep it: it can't be shown again. Services know it within 5 s.", style="dim")


async def create_api(home: Path | None, name: str, scopes: list[str]) -> str:
    from libs.kit.auth import create_api_key

    async with open_access(home) as database, database.transaction() as tx:
        return await create_api_key(tx, name, scopes)


async def create_write(home: Path | None, source_id: str, kind: str) -> str:
    """A server's or a till's word about who somebody is counts; what runs on a visitor's device proves nothing."""
    from libs.kit.access_tables import SOURCE_KINDS
    from libs.kit.auth import Source, create_source, create_write_key

    if kind not in SOURCE_KINDS:
        fail(f"A source can't be of kind {kind}.", hint=f"Kinds: {', '.join(SOURCE_KINDS)}.")
    source = Source(id=source_id, name=source_id, kind=kind, verified=kind not in {"web", "mobile"})
    async with open_access(home) as database, database.transaction() as tx:
        await create_source(tx, source)
        return await create_write_key(tx, source_id)


@keys.command("list")
def list_keys(home: Path | None = HOME_OPTION) -> None:
    """Who holds keys, and since when."""
    table = make_table("kind", "of", "scopes", "made", "revoked")
    for row in asyncio.run(fetch_keys(home)):
        table.add_row(*row)
    STDOUT.print(table)


async def fetch_keys(home: Path | None) -> list[tuple[str, str, str, str, str]]:
    statement = """
        SELECT 'API key' AS kind, name AS holder, array_to_string(scopes, ', ') AS scopes,
               to_char(created_at, 'YYYY-MM-DD') AS made, coalesce(to_char(revoked_at, 'YYYY-MM-DD'), '') AS revoked
        FROM access.api_keys
        UNION ALL
        SELECT 'write key', source_id, '', to_char(created_at, 'YYYY-MM-DD'), coalesce(to_char(revoked_at, 'YYYY-MM-DD'), '')
        FROM access.write_keys
        ORDER BY kind, holder, made
        """
    async with open_access(home) as database, database.connection() as connection:
        rows = await connection.fetch(statement)
    return [(row["kind"], row["holder"], row["scopes"], row["made"], row["revoked"]) for row in rows]


@keys.command("revoke")
def revoke(
    key: str = typer.Argument("", help="The key itself, or the name an API key was made for."),
    dev: bool = typer.Option(False, "--dev", help="The development keys."),
    home: Path | None = HOME_OPTION,
) -> None:
    """From now on (within 5 s) the key opens nothing."""
    if not key and not dev:
        fail("Which key?", hint="Give the key, the name it was made for, or --dev.")
    if not asyncio.run(revoke_in_database(home, key, dev=dev)):
        fail("No active key is that one.", hint="`rapport keys list` shows who holds keys.")
    say("Revoked.")


async def revoke_in_database(home: Path | None, key: str, *, dev: bool) -> bool:
    from libs.kit.auth import revoke_api_keys_named, revoke_dev_keys, revoke_key

    async with open_access(home) as database, database.transaction() as tx:
        if dev:
            return await revoke_dev_keys(tx)
        return await revoke_key(tx, key) or await revoke_api_keys_named(tx, key) > 0
