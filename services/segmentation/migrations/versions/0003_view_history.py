"""How parts of views were at every instant, by profile. Kept from now on: nothing tells how they were before."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "view_values",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("part", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "part", "at_us", name=op.f("pk_view_values")),
    )


def downgrade() -> None:
    op.drop_table("view_values")
