"""Members with their stored views, and the lines of a file that they make."""

from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

from libs.kit.db import Tx
from services.segmentation.domain.exporting import Column, Form, Row, write_header, write_row
from services.segmentation.store.pages import FIRST_ID

_PAGE: Final = 500


async def write_members(
    snapshot: Tx, segment_id: str, columns: Sequence[Column], form: Form, after: UUID | None
) -> AsyncIterator[bytes]:
    """The lines of a file, some hundreds a chunk."""
    if after is None and (header := write_header(columns, form)):
        yield header
    with_view = any(column.is_personal for column in columns)
    while rows := await load_member_views(snapshot, segment_id, after, _PAGE, with_view=with_view):
        yield b"".join(write_row(row, columns, form) for row in rows)
        after = rows[-1].profile_id


async def load_member_views(tx: Tx, segment_id: str, after: UUID | None, limit: int, *, with_view: bool) -> list[Row]:
    """Members by profile id, behind one."""
    rows = await tx.fetch(
        "SELECT m.profile_id, m.since_us, m.version, CASE WHEN $4 THEN p.snapshot END"
        " FROM memberships m JOIN sub_profiles p USING (profile_id)"
        " WHERE m.segment_id = $1 AND m.is_member AND p.absorbed_into IS NULL AND m.profile_id > $2 AND p.profile_id > $2"
        " ORDER BY m.profile_id LIMIT $3",
        segment_id,
        after or FIRST_ID,
        limit,
        with_view,
    )
    return [Row(*row) for row in rows]
