"""The database refuses what must not be."""

import asyncpg
import pytest

from .conftest import World


@pytest.mark.parametrize(("is_member", "seq"), [(True, 2), (False, 1), (True, 0)])
async def test_the_database_refuses_a_level_that_its_edges_contradict(world: World, is_member: bool, seq: int) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        async with world.database.transaction() as tx:
            await tx.execute(
                "INSERT INTO memberships (profile_id, segment_id, is_member, seq, since_us, version)"
                " VALUES (gen_random_uuid(), 's', $1, $2, 0, 1)",
                is_member,
                seq,
            )
