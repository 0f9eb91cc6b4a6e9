"""Tables of schema `ingest`: refused touchpoints, webhooks, tracking plans, suppressions, counts, and files to import."""

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

TRACKING_PLANS = sa.Table(
    "tracking_plans",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("active_version", sa.Integer, nullable=True),
)
PLAN_VERSIONS = sa.Table(
    "tracking_plan_versions",
    METADATA,
    sa.Column("plan_id", sa.Text, sa.ForeignKey("tracking_plans.id"), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("document", BYTEA, nullable=False),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
)
PLAN_SOURCES = sa.Table(
    "tracking_plan_sources",
    METADATA,
    sa.Column("source_id", sa.Text, primary_key=True),
    sa.Column("plan_id", sa.Text, sa.ForeignKey("tracking_plans.id"), nullable=False),
    sa.Index(None, "plan_id"),
)
PLAN_VIOLATIONS = sa.Table(
    "plan_violations",
    METADATA,
    sa.Column("plan_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("source_id", sa.Text, primary_key=True),
    sa.Column("event", sa.Text, primary_key=True),
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("first_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("last_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("samples", BYTEA, nullable=False),
    sa.Index(None, "last_at"),
)
SUPPRESSIONS = sa.Table(
    "suppressions",
    METADATA,
    sa.Column("fragment", UUID, primary_key=True),
    sa.Column("suppressed", sa.Boolean, nullable=False),
    sa.Column("cutoff", TIMESTAMP(timezone=True), nullable=True),
    sa.Column("decided_at", TIMESTAMP(timezone=True), nullable=True),
    sa.Column("decided_by", UUID, nullable=True),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.Index(None, "revision"),
)
SUPPRESSION_REVISION = sa.Table(
    "suppression_revision",
    METADATA,
    sa.Column("only", sa.Boolean, sa.CheckConstraint("only", name="one_row"), primary_key=True, server_default=sa.true()),
    sa.Column("revision", sa.BigInteger, nullable=False),
)
SOURCE_COUNTS = sa.Table(
    "source_counts",
    METADATA,
    sa.Column("source_id", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Index(None, "day"),
)
SOURCES_SEEN = sa.Table(
    "sources_seen",
    METADATA,
    sa.Column("source_id", sa.Text, primary_key=True),
    sa.Column("seen_at", TIMESTAMP(timezone=True), nullable=False),
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
