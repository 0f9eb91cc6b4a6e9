"""What says where a trait comes from: the states of a profile's fragments, and the sources of touchpoints. Reads only."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from libs.kit.db import Tx
from libs.kit.times import from_micros
from services.profile.domain.provenance import Origin

_STATES: Final = """
SELECT f.id, f.state FROM profiles p JOIN fragments f ON f.id = ANY (p.members) WHERE p.id = $1
"""
_SOURCES: Final = """
SELECT t.id, t.body::json ->> 'source_id'
  FROM unnest($1::uuid[], $2::timestamptz[], $3::uuid[]) AS w (fragment, occurred_at, id)
  JOIN timeline t ON t.fragment = w.fragment AND t.occurred_at = w.occurred_at AND t.id = w.id
"""


async def load_member_states(tx: Tx, profile_id: UUID) -> dict[UUID, bytes]:
    """By fragment."""
    return {row[0]: row[1] for row in await tx.fetch(_STATES, profile_id)}


async def load_sources(tx: Tx, origins: Sequence[Origin]) -> dict[UUID, str]:
    """Source ids by touchpoint, of those that the timeline still has."""
    places = {(one.fragment, from_micros(one.t_us), one.touchpoint_id) for one in origins}
    columns = [list(column) for column in zip(*places, strict=True)] or [[], [], []]
    return {row[0]: row[1] for row in await tx.fetch(_SOURCES, *columns)}
