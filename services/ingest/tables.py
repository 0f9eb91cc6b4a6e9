"""Tables of schema `ingest`: refused touchpoints, kept for a while; files to import, and what became of them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, JSONB, TIMESTAMP, UUID

from libs.durable.jobs import jobs_tables
from libs.durable.outbox import outbox_tables
from libs.kit.db import build_metadata

SCHEMA = "ingest"
METADATA = build_metadata(SCHEMA)
outbox_tables(METADATA)
jobs_tables(METADATA)

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

IMPORTS = sa.Table(
    "imports",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("source_id", sa.Text, nullable=False),
    sa.Column("file_name", sa.Text, nullable=False),
    sa.Column("file_sha256", BYTEA, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("layout", JSONB, nullable=False),
    sa.Column("max_error_ratio", sa.Double, nullable=False),
    sa.Column("pause_requested", sa.Boolean, nullable=False),
    sa.Column("tally", JSONB, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Index(None, "created_at", "id"),
)
IMPORT_CHUNKS = sa.Table(
    "import_chunks",
    METADATA,
    sa.Column("import_id", UUID, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("data", BYTEA, nullable=False),
)
IMPORT_ERRORS = sa.Table(
    "import_errors",
    METADATA,
    sa.Column("import_id", UUID, primary_key=True),
    sa.Column("step", sa.BigInteger, primary_key=True),
    sa.Column("line", sa.BigInteger, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("data", BYTEA, nullable=False),
)
