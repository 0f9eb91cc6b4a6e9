"""Names by themselves: found in spite of a slip, sorted, and written only when they change."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, UUID

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Whoever had a name before is found by it again with the next trait they state.
    op.create_table(
        "names",
        sa.Column("profile_id", UUID, nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.Column("keys", ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", name=op.f("pk_names")),
        comment="Hashes of how names begin and of what is left of them without one letter; what profiles are sorted by name by",
    )
    op.create_index("ix_names_keys", "names", ["keys"], unique=False, postgresql_using="gin")
    op.create_index("ix_names_name", "names", ["name", "profile_id"], unique=False)


def downgrade() -> None:
    op.drop_table("names")
