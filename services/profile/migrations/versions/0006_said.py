"""What a touchpoint's text was scored when it was applied, and which touchpoints say something of consent."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("timeline", sa.Column("sentiment", sa.Text(), nullable=True))
    op.add_column("timeline", sa.Column("consents", sa.Boolean(), server_default=sa.false(), nullable=False))
    # Bodies are as the codec wrote them: a touchpoint without a word of consent has no such member.
    op.execute("UPDATE timeline SET consents = true WHERE body::json -> 'consent' IS NOT NULL")
    op.create_index(
        "ix_timeline_consents",
        "timeline",
        ["fragment", sa.text("occurred_at DESC"), sa.text("id DESC")],
        unique=False,
        postgresql_where=sa.text("consents"),
    )


def downgrade() -> None:
    op.drop_index("ix_timeline_consents", "timeline")
    op.drop_column("timeline", "consents")
    op.drop_column("timeline", "sentiment")
