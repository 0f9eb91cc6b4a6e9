"""What a touchpoint's text was scored when it was applied."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("timeline", sa.Column("sentiment", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("timeline", "sentiment")
