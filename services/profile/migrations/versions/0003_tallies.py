"""Products, categories, brands and months of purchase, carts and stores, counted by key."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FACTS = "Orders, refunds, tickets, reviews, mentions and messages as a fragment knows them; they never move to another one"
_FACTS_NOW = "Orders, refunds, tickets, reviews, mentions, messages, carts and visits as a fragment knows them; they never move"


def upgrade() -> None:
    op.create_table(
        "tallies",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("rank", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "kind", "key", name=op.f("pk_tallies")),
        comment="Derived: a profile's figures by key, of which the view shows those of the highest rank",
    )
    op.create_index(
        "ix_tallies_rank",
        "tallies",
        ["profile_id", "kind", sa.text("rank DESC"), "key"],
        unique=False,
        postgresql_where=sa.text("rank IS NOT NULL"),
    )
    op.create_table_comment("facts", _FACTS_NOW, existing_comment=_FACTS)


def downgrade() -> None:
    # Carts and visits, which the code before knew nothing of.
    op.execute("DELETE FROM facts WHERE part IN (7, 8)")
    op.drop_table("tallies")
    op.create_table_comment("facts", _FACTS, existing_comment=_FACTS_NOW)
