"""What a source may do: from which websites, how much at once, and what is kept of its visitors' addresses."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sources", sa.Column("allowed_origins", pg.ARRAY(sa.Text), nullable=False, server_default="{}"))
    op.add_column("sources", sa.Column("max_events_per_s", sa.Integer, nullable=True))
    op.add_column("sources", sa.Column("burst_events", sa.Integer, nullable=True))
    op.add_column("sources", sa.Column("ip_policy", sa.Text, nullable=False, server_default="none"))
    op.create_check_constraint(op.f("ck_sources_ip_policy"), "sources", "ip_policy IN ('none', 'truncated', 'full')")


def downgrade() -> None:
    for column in ("ip_policy", "burst_events", "max_events_per_s", "allowed_origins"):
        op.drop_column("sources", column)
