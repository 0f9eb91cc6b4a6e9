"""Tables of schema `engagement`: what may be sent, what was meant to be sent, and what became of it."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TIMESTAMP, UUID

from libs.durable.idempotency import idempotency_tables
from libs.durable.outbox import outbox_tables
from libs.kit.db import build_metadata
from libs.subscriber.tables import subscriber_tables

SCHEMA = "engagement"
METADATA = build_metadata(SCHEMA)
subscriber_tables(METADATA)
outbox_tables(METADATA)
idempotency_tables(METADATA)

TEMPLATES = sa.Table(
    "templates",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("html", sa.Text, nullable=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("updated_at", TIMESTAMP(timezone=True), nullable=False),
)
CAMPAIGNS = sa.Table(
    "campaigns",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("segment_id", sa.Text, nullable=False, index=True),
    sa.Column("template_id", sa.Text, sa.ForeignKey(TEMPLATES.c.id, ondelete="RESTRICT"), nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("causes", sa.ARRAY(sa.Text), nullable=False),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
)
POLICIES = sa.Table(
    "policies",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("daily_cap", sa.Integer, nullable=True),
)
TRIGGERS = sa.Table(
    "triggers",
    METADATA,
    sa.Column("segment_id", sa.Text, primary_key=True),
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("profile_version", sa.BigInteger, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("at", TIMESTAMP(timezone=True), nullable=False),
)
MESSAGES = sa.Table(
    "messages",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("campaign_id", sa.Text, nullable=False),
    sa.Column("fragment", UUID, nullable=False),
    sa.Column("profile_id", UUID, nullable=False),
    sa.Column("segment_id", sa.Text, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=True),
    sa.Column("recipient", sa.Text, nullable=True),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=True),
    sa.Column("text", sa.Text, nullable=True),
    sa.Column("html", sa.Text, nullable=True),
    sa.Column("sent_on", sa.Date, nullable=False),
    sa.Column("owner", sa.BigInteger, nullable=True),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_try_at", TIMESTAMP(timezone=True), nullable=True),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("updated_at", TIMESTAMP(timezone=True), nullable=False),
    sa.CheckConstraint("state in ('queued', 'sending', 'sent', 'failed', 'uncertain', 'skipped')", name="state_known"),
    # At most once is also the database's word: one message that isn't merely skipped per campaign and e-mail identifier.
    sa.Index(
        "uq_messages_campaign_fragment", "campaign_id", "fragment", unique=True, postgresql_where=sa.text("state <> 'skipped'")
    ),
    sa.Index(None, "fragment", "created_at"),
    sa.Index("ix_messages_due", "next_try_at", postgresql_where=sa.text("state = 'queued'")),
    sa.Index("ix_messages_sending", "owner", postgresql_where=sa.text("state = 'sending'")),
)
