"""`rapport keys` against a database: two keys of one name can be told apart, and one of them revoked."""

import asyncio
from pathlib import Path

import pytest

from libs.kit.access_tables import migrate_access
from libs.kit.auth import AccessCache, key_id
from libs.kit.db import Database
from tests.support.command_line import run_command


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    return run_command("keys", *arguments), capsys.readouterr().out.strip()


async def find_holder(dsn: str, api_key: str) -> str | None:
    database = await Database.open(dsn, schema="access", application_name="test")
    cache = AccessCache(database)
    try:
        await cache.refresh()
        principal = cache.principal_for(api_key)
        return principal.name if principal else None
    finally:
        await database.close()


@pytest.fixture
def access(database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    asyncio.run(migrate_access(database_dsn))
    monkeypatch.setenv("RAPPORT_POSTGRES", database_dsn)
    monkeypatch.setenv("RAPPORT_HOME", str(tmp_path / "home"))
    return database_dsn


def test_one_of_two_keys_of_a_name_is_revoked_by_its_id(access: str, capsys: pytest.CaptureFixture[str]) -> None:
    first = run(capsys, "create", "crm", "--scopes", "profiles:read")[1]
    second = run(capsys, "create", "crm")[1]
    listed = run(capsys, "list")[1].splitlines()
    assert [line.split()[2] for line in listed if " crm " in line] == [key_id(first), key_id(second)]

    assert run(capsys, "revoke", key_id(first))[0] == 0
    assert asyncio.run(find_holder(access, first)) is None
    assert asyncio.run(find_holder(access, second)) == "crm"
    assert run(capsys, "revoke", key_id(first))[0] == 1

    third = run(capsys, "create", "crm")[1]
    assert run(capsys, "revoke", "crm")[0] == 0
    assert [asyncio.run(find_holder(access, key)) for key in (second, third)] == [None, None]


def test_a_write_key_is_listed_with_its_source_and_revoked_by_its_id(access: str, capsys: pytest.CaptureFixture[str]) -> None:
    key = run(capsys, "create", "till-7", "--write", "--kind", "pos")[1]
    assert any("till-7" in line and key_id(key) in line for line in run(capsys, "list")[1].splitlines())
    assert run(capsys, "revoke", key_id(key).upper())[0] == 0
    assert run(capsys, "revoke", key)[0] == 1


def test_a_database_without_the_schema_asks_for_the_migration(
    capsys: pytest.CaptureFixture[str], database_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAPPORT_POSTGRES", database_dsn.rpartition("/")[0] + "/postgres")
    assert run_command("keys", "list") == 1
    assert "rapport migrate" in capsys.readouterr().err
