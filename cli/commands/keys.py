"""`keys`: API keys and write keys. A key is shown once, when it is made; only its hash is stored."""

import asyncio
import re
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
NAME_MAX = 200
SCOPES_OPTION = typer.Option(
    None, "--scopes", "-s", help="Of an API key, comma-separated: profiles:read, segments:write, ... or *.", show_default="*"
)
KIND_OPTION = typer.Option(
    None,
    "--kind",
    help="Of the source, if it is new: web, mobile, server, pos, webhook, import.",
    show_default="server",
)


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
    scopes: str | None = SCOPES_OPTION,
    write: bool = typer.Option(False, "--write", help="A write key for the source NAME instead of an API key."),
    kind: str | None = KIND_OPTION,
    home: Path | None = HOME_OPTION,
) -> None:
    """Make a key and print it: this once."""
    from libs.kit.auth import key_id

    if write:
        if scopes is not None:
            fail("A write key has no scopes: it only sends.", hint="Leave --scopes out, or --write for an API key.")
        making = create_write(home, read_source_id(name), read_kind(kind or "server"))
    else:
        if kind is not None:
            fail("An API key has no kind: only sources have.", hint="Leave --kind out, or add --write for a write key.")
        making = create_api(home, read_name(name), read_scopes("*" if scopes is None else scopes))
    key = asyncio.run(making)
    print_plain(key)
    say(f"Keep it: it can't be shown again. Its id is {key_id(key)}. Services know it within 5 s.", style="dim")


def read_scopes(given: str) -> list[str]:
    """Raises CliError for a key that would open nothing, or not what was meant."""
    from libs.kit.scopes import ALL_SCOPES, SCOPES

    hint = f"Scopes: {', '.join(SCOPES)}, or {ALL_SCOPES} for all."
    wanted = [scope.strip() for scope in given.split(",") if scope.strip()]
    if not wanted:
        fail("Without a scope a key opens nothing.", hint=hint)
    if unknown := [scope for scope in wanted if scope not in {*SCOPES, ALL_SCOPES}]:
        fail(f"There is no scope {unknown[0]}.", hint=hint)
    return wanted


def read_name(given: str) -> str:
    name = given.strip()
    if not name or len(name) > NAME_MAX or not name.isprintable():
        fail(f"A name has 1 to {NAME_MAX} printable characters.", hint="Say who holds the key: `rapport keys create crm`.")
    return name


def read_source_id(given: str) -> str:
    from libs.kit.access_tables import SOURCE_ID_PATTERN

    if re.fullmatch(SOURCE_ID_PATTERN, given) is None:
        fail(
            f"A source can't have the id {given:.64}.",
            hint="Up to 64 lower-case letters, digits, - and _; the first is a letter or a digit.",
        )
    return given


def read_kind(given: str) -> str:
    from libs.kit.access_tables import SOURCE_KINDS

    if given not in SOURCE_KINDS:
        fail(f"A source can't be of kind {given}.", hint=f"Kinds: {', '.join(SOURCE_KINDS)}.")
    return given


async def create_api(home: Path | None, name: str, scopes: list[str]) -> str:
    from libs.kit.auth import create_api_key

    async with open_access(home) as database, database.transaction() as tx:
        return await create_api_key(tx, name, scopes)


async def create_write(home: Path | None, source_id: str, kind: str) -> str:
    """A server's or a till's word about who somebody is counts; what runs on a visitor's device proves nothing."""
    from libs.kit.auth import Source, create_source, create_write_key

    source = Source(id=source_id, name=source_id, kind=kind, verified=kind not in {"web", "mobile"})
    async with open_access(home) as database, database.transaction() as tx:
        await create_source(tx, source)
        return await create_write_key(tx, source_id)


@keys.command("list")
def list_keys(home: Path | None = HOME_OPTION) -> None:
    """Who holds keys, and since when."""
    table = make_table("kind", "id", "of", "scopes", "made (UTC)", "revoked")
    for row in asyncio.run(fetch_keys(home)):
        table.add_row(*row)
    STDOUT.print(table)


async def fetch_keys(home: Path | None) -> list[tuple[str, ...]]:
    """Kind, id (the beginning of the hash), holder, scopes, made, revoked."""
    from libs.kit.auth import KEY_ID_LENGTH

    statement = """
        SELECT kind, left(encode(hash, 'hex'), $1), holder, array_to_string(scopes, ', '),
               to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
               coalesce(to_char(revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), '')
        FROM (
            SELECT 'API key' AS kind, hash, name AS holder, scopes, created_at, revoked_at FROM access.api_keys
            UNION ALL
            SELECT 'write key', hash, source_id, '{}', created_at, revoked_at FROM access.write_keys
        ) AS keys
        ORDER BY kind, holder, created_at, hash
        """
    async with open_access(home) as database, database.connection() as connection:
        rows = await connection.fetch(statement, KEY_ID_LENGTH)
    return [tuple(row) for row in rows]


@keys.command("revoke")
def revoke(
    key: str = typer.Argument("", help="The key itself, its id in the list, or the name API keys were made for: all of them."),
    dev: bool = typer.Option(False, "--dev", help="The development keys."),
    home: Path | None = HOME_OPTION,
) -> None:
    """From now on (within 5 s) the key opens nothing."""
    if bool(key) == dev:
        fail("Which key?", hint="Give the key, its id, the name it was made for, or --dev: one of them.")
    revoked = asyncio.run(revoke_in_database(home, key, dev=dev))
    if not revoked:
        fail("No active key is that one.", hint="`rapport keys list` shows who holds keys.")
    say("Revoked." if revoked == 1 else f"Revoked: {revoked} keys.")


async def revoke_in_database(home: Path | None, key: str, *, dev: bool) -> int:
    """How many."""
    from libs.kit.auth import revoke_api_keys_named, revoke_dev_keys, revoke_key, revoke_key_with_id

    async with open_access(home) as database, database.transaction() as tx:
        if dev:
            return int(await revoke_dev_keys(tx))
        if await revoke_key(tx, key) or await revoke_key_with_id(tx, key):
            return 1
        return await revoke_api_keys_named(tx, key.strip())
