"""Manual lists: who is on one by identifier or profile id, and what of that still has to be judged."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Concurrently, so that profiles go on being followed meanwhile; first, and anew where an attempt was cut off.
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_sub_profiles_founding")
        op.create_index("ix_sub_profiles_founding", "sub_profiles", ["founding"], unique=False, postgresql_concurrently=True)
    op.create_table(
        "lists",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lists")),
    )
    op.create_table(
        "list_entries",
        sa.Column("list_id", sa.Text(), nullable=False),
        sa.Column("ref", sa.Uuid(), nullable=False),
        sa.Column("is_in", sa.Boolean(), nullable=False),
        sa.Column("is_judged", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("list_id", "ref", name=op.f("pk_list_entries")),
    )
    op.create_index(
        "ix_list_entries_unjudged", "list_entries", ["list_id", "ref"], unique=False, postgresql_where=sa.text("NOT is_judged")
    )


def downgrade() -> None:
    op.drop_index("ix_sub_profiles_founding", table_name="sub_profiles")
    op.drop_table("list_entries")
    op.drop_table("lists")
