"""Endpoints of webhooks: their secrets, and the versions of their mappings."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

revision = "0002_webhooks"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("mapping_version", sa.Integer(), nullable=True),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "provider", name=op.f("pk_webhooks")),
    )
    op.create_table(
        "webhook_secrets",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_secrets")),
        sa.ForeignKeyConstraint(
            ["source_id", "provider"],
            ["webhooks.source_id", "webhooks.provider"],
            name=op.f("fk_webhook_secrets_source_id_provider"),
            ondelete="CASCADE",
        ),
    )
    op.create_index(op.f("ix_webhook_secrets_source_id_provider"), "webhook_secrets", ["source_id", "provider"])
    op.create_table(
        "webhook_mappings",
        sa.Column("source_id", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("mapping", JSONB(), nullable=False),
        sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("source_id", "provider", "version", name=op.f("pk_webhook_mappings")),
        sa.ForeignKeyConstraint(
            ["source_id", "provider"],
            ["webhooks.source_id", "webhooks.provider"],
            name=op.f("fk_webhook_mappings_source_id_provider"),
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    op.drop_table("webhook_mappings")
    op.drop_table("webhook_secrets")
    op.drop_table("webhooks")
