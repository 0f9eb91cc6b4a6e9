"""Outgoing webhooks: endpoints and what is on its way to them."""

from alembic import op

from libs.durable.webhooks import create_webhooks, drop_webhooks

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_webhooks(op)


def downgrade() -> None:
    drop_webhooks(op)
