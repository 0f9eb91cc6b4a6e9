"""Tables of schema `ingest`: refused touchpoints, kept for a while; endpoints of webhooks."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, TIMESTAMP, UUID

from libs.durable.outbox import outbox_tables
from libs.kit.db import build_metadata

SCHEMA = "ingest"
METADATA = build_metadata(SCHEMA)
outbox_tables(METADATA)

REJECTIONS = sa.Table(
    "rejections",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("source_id", sa.Text, nullable=False),
    sa.Column("received_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("body", BYTEA, nullable=False),
    sa.Column("size_bytes", sa.Integer, nullable=False),
    sa.Column("replayed_at", TIMESTAMP(timezone=True), nullable=True),
    sa.Index(None, "received_at", "id"),
    sa.Index(None, "source_id", "received_at", "id"),
)

WEBHOOKS = sa.Table(
    "webhooks",
    METADATA,
    sa.Column("source_id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("mapping_version", sa.Integer, nullable=True),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("updated_at", TIMESTAMP(timezone=True), nullable=False),
)
WEBHOOK_SECRETS = sa.Table(
    "webhook_secrets",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("source_id", sa.Text, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("secret", sa.Text, nullable=False),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(["source_id", "provider"], ["webhooks.source_id", "webhooks.provider"], ondelete="CASCADE"),
    sa.Index(None, "source_id", "provider"),
)
WEBHOOK_MAPPINGS = sa.Table(
    "webhook_mappings",
    METADATA,
    sa.Column("source_id", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("mapping", JSONB, nullable=False),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    sa.ForeignKeyConstraint(["source_id", "provider"], ["webhooks.source_id", "webhooks.provider"], ondelete="CASCADE"),
)
