"""Who may be looked for, by hashes: the view has the last word. Reads only."""

# ruff: noqa: S608 - the statements are put together from constants and numbers of parameters
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from libs.kit.db import Tx
from services.profile.domain.search import Wanted

_BY_NAME: Final = """
SELECT profile_id, name FROM names
 WHERE (name, profile_id) {sign} ($1, $2) ORDER BY name {direction}, profile_id {direction} LIMIT $3
"""
_UP: Final = _BY_NAME.format(sign=">", direction="ASC")
_DOWN: Final = _BY_NAME.format(sign="<", direction="DESC")
FIRST_NAME: Final = ("", UUID(int=0))
LAST_NAME: Final = ("\U0010ffff", UUID(int=(1 << 128) - 1))


async def find_profiles(tx: Tx, wanted: Wanted, after: UUID, limit: int) -> list[UUID]:
    """Profiles that may have what is wanted (something must be), by id."""
    values: list[Any] = [after, limit]
    tables, conditions = [], []
    for table, operator, sets in (("names", "&&", wanted.names), ("trait_keys", "@>", [wanted.traits] if wanted.traits else [])):
        if sets:
            tables.append(table)
        for keys in sets:
            values.append(list(keys))
            conditions.append(f"{table}.keys {operator} ${len(values)}::bigint[]")
    joined = " JOIN ".join(tables) + (" USING (profile_id)" if len(tables) > 1 else "")
    # Materialized: else a planner that expects many matches goes through everybody by id, where there are few.
    statement = (
        f"WITH found AS MATERIALIZED (SELECT profile_id FROM {joined} WHERE {' AND '.join(conditions)})"
        " SELECT profile_id FROM found WHERE profile_id > $1 ORDER BY profile_id LIMIT $2"
    )
    return [row[0] for row in await tx.fetch(statement, *values)]


async def find_by_name(tx: Tx, beyond: tuple[str, UUID], limit: int, *, descending: bool) -> Sequence[tuple[UUID, str]]:
    """(profile, name) of everybody who has a name, in its order, beyond a place in it."""
    return [(row[0], row[1]) for row in await tx.fetch(_DOWN if descending else _UP, *beyond, limit)]
