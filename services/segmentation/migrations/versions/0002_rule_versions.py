"""Which version brought a segment's present rule, and which rule set a timer: a new name judges nobody anew."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("segments", sa.Column("rule_version", sa.Integer(), nullable=True))
    op.execute("UPDATE segments SET rule_version = version")
    op.alter_column("segments", "rule_version", nullable=False)
    op.add_column("timers", sa.Column("rule_version", sa.Integer(), nullable=True))
    op.execute("UPDATE timers SET rule_version = s.version FROM segments s WHERE s.id = timers.segment_id")
    op.execute("DELETE FROM timers WHERE rule_version IS NULL")
    op.alter_column("timers", "rule_version", nullable=False)


def downgrade() -> None:
    op.drop_column("timers", "rule_version")
    op.drop_column("segments", "rule_version")
