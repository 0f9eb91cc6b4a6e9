"""Migrations: from zero, twice, at once; each service in its own schema; what is declared is what is there."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from libs.kit.access_tables import METADATA, SCHEMA, migrate_access
from libs.kit.db import build_metadata, migrate, pending_changes

ENV = "from libs.kit.alembic_env import run_migrations\n\nrun_migrations()\n"
REVISION = """
import sqlalchemy as sa
from alembic import op

revision = {revision!r}
down_revision = {down!r}


def upgrade() -> None:
    {upgrade}
"""


def write_revision(folder: Path, revision: str, down: str | None, upgrade: str) -> None:
    (folder / "versions").mkdir(exist_ok=True)
    (folder / "env.py").write_text(ENV)
    (folder / "versions" / f"{revision}.py").write_text(REVISION.format(revision=revision, down=down, upgrade=upgrade))


async def fetch_tables(dsn: str, schema: str) -> set[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", schema)
    finally:
        await connection.close()
    return {row["tablename"] for row in rows}


async def test_the_access_schema_is_made_from_zero_by_several_at_once(database_dsn: str) -> None:
    await asyncio.gather(*(migrate_access(database_dsn) for _ in range(3)))
    await migrate_access(database_dsn)
    assert await fetch_tables(database_dsn, SCHEMA) == {"sources", "write_keys", "api_keys", "installation", "alembic_version"}
    assert await pending_changes(database_dsn, schema=SCHEMA, metadata=METADATA) == []


async def test_each_service_has_its_schema_and_its_version(database_dsn: str, tmp_path: Path) -> None:
    for schema in ("one", "two"):
        folder = tmp_path / schema
        folder.mkdir()
        write_revision(folder, "0001", None, f'op.create_table("{schema}_things", sa.Column("id", sa.Integer, primary_key=True))')
        await migrate(database_dsn, schema=schema, script_location=folder)
    assert await fetch_tables(database_dsn, "one") == {"one_things", "alembic_version"}
    assert await fetch_tables(database_dsn, "two") == {"two_things", "alembic_version"}
    assert await fetch_tables(database_dsn, "public") == set()


async def test_a_declared_table_that_is_not_migrated_is_found(database_dsn: str, tmp_path: Path) -> None:
    write_revision(tmp_path, "0001", None, 'op.create_table("things", sa.Column("id", sa.Integer, primary_key=True))')
    await migrate(database_dsn, schema="three", script_location=tmp_path)
    metadata = build_metadata("three")
    sa.Table("things", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.Text))
    differences = await pending_changes(database_dsn, schema="three", metadata=metadata)
    assert [difference[0] for difference in differences] == ["add_column"]


async def test_a_failed_migration_leaves_the_last_good_version(database_dsn: str, tmp_path: Path) -> None:
    write_revision(tmp_path, "0001", None, 'op.create_table("things", sa.Column("id", sa.Integer, primary_key=True))')
    write_revision(tmp_path, "0002", "0001", 'op.add_column("things", sa.Column("n", sa.Integer)); op.execute("SELECT 1 / 0")')
    with pytest.raises(sa.exc.DBAPIError, match="division by zero"):
        await migrate(database_dsn, schema="four", script_location=tmp_path)
    (tmp_path / "versions" / "0002.py").unlink()
    metadata = build_metadata("four")
    sa.Table("things", metadata, sa.Column("id", sa.Integer, primary_key=True))
    await migrate(database_dsn, schema="four", script_location=tmp_path)
    assert await pending_changes(database_dsn, schema="four", metadata=metadata) == []
