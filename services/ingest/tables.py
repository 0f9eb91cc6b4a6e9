"""Tables of schema `ingest`: refused touchpoints, kept for a while."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, TIMESTAMP, UUID

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
