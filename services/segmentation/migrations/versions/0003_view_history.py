"""How parts of views were at every instant, by profile. Kept from now on: nothing tells how they were before.

What profiles that are known already say now was so for as long as anybody knows: without, their next change would look as if they
had said nothing until then.
"""

from uuid import UUID

import msgspec
import sqlalchemy as sa
from alembic import op

from services.segmentation.domain.parts import SINCE_EVER_US, WORDS, cut_view, is_empty

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_CHUNK = 1_000


def upgrade() -> None:
    view_values = op.create_table(
        "view_values",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "part", "at_us", name=op.f("pk_view_values")),
    )
    _keep_present_values(view_values)


def _keep_present_values(view_values: sa.Table) -> None:
    """Here and not in SQL, whose JSON refuses some texts that views may hold (an escaped NUL)."""
    stored = sa.table("sub_profiles", sa.column("profile_id", sa.Uuid()), sa.column("snapshot", sa.LargeBinary()))
    page = sa.select(stored).where(stored.c.snapshot.is_not(None)).order_by(stored.c.profile_id).limit(_CHUNK)
    rows = op.get_bind().execute(page).all()
    while rows:
        op.bulk_insert(view_values, [value for profile_id, snapshot in rows for value in _cut(profile_id, snapshot)])
        rows = op.get_bind().execute(page.where(stored.c.profile_id > rows[-1].profile_id)).all()


def _cut(profile_id: UUID, snapshot: bytes) -> list[dict[str, object]]:
    """Parts that say nothing yet have no row, as with new profiles; nor has a view that can't be read."""
    try:
        parts = cut_view(snapshot, WORDS)
    except msgspec.DecodeError:
        return []
    return [
        {"profile_id": profile_id, "part": part, "at_us": SINCE_EVER_US, "value": value}
        for part, value in parts.items()
        if not is_empty(value)
    ]


def downgrade() -> None:
    op.drop_table("view_values")
