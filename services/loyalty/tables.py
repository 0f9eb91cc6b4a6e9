"""Tables of schema `loyalty`: orders as facts by fragment, and the ledger built on them."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, TIMESTAMP, UUID

from libs.durable.idempotency import idempotency_tables
from libs.durable.outbox import outbox_tables
from libs.kit.db import build_metadata
from libs.subscriber.tables import subscriber_tables

SCHEMA = "loyalty"
METADATA = build_metadata(SCHEMA)
subscriber_tables(METADATA)
outbox_tables(METADATA)
idempotency_tables(METADATA)

ORDER_PARTS = sa.Table(
    "order_parts",
    METADATA,
    sa.Column("fragment", UUID, primary_key=True),
    sa.Column("order_id", sa.Text, primary_key=True),
    sa.Column("part", BYTEA, nullable=False),
)
REFUND_PARTS = sa.Table(
    "refund_parts",
    METADATA,
    sa.Column("fragment", UUID, primary_key=True),
    sa.Column("refund_key", sa.Text, primary_key=True),
    sa.Column("order_id", sa.Text, nullable=True),
    sa.Column("part", BYTEA, nullable=False),
    sa.Index(None, "fragment", "order_id"),
)
ORDER_POINTS = sa.Table(
    "order_points",
    METADATA,
    sa.Column("fragment", UUID, primary_key=True),
    sa.Column("order_id", sa.Text, primary_key=True),
    sa.Column("points", sa.BigInteger, nullable=False),
)
TRANSFERS = sa.Table(
    "transfers",
    METADATA,
    sa.Column("transaction_id", UUID, primary_key=True),
    sa.Column("line", sa.SmallInteger, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("debit", UUID, nullable=False),
    sa.Column("credit", UUID, nullable=False),
    sa.Column("points", sa.BigInteger, nullable=False),
    sa.Column("profile_id", UUID, nullable=False),
    sa.Column("order_id", sa.Text, nullable=True),
    sa.Column("reason", sa.Text, nullable=True),
    sa.Column("at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("posted_at", TIMESTAMP(timezone=True), nullable=False),
    # Double entry by construction: a row takes from one account what it gives to another, so every sum is zero.
    sa.CheckConstraint("points > 0", name="points_positive"),
    sa.CheckConstraint("debit <> credit", name="accounts_differ"),
    sa.Index(None, "debit", "posted_at"),
    sa.Index(None, "credit", "posted_at"),
)
BALANCES = sa.Table(
    "balances",
    METADATA,
    sa.Column("account", UUID, primary_key=True),
    sa.Column("balance", sa.BigInteger, nullable=False),
    sa.Column("lifetime", sa.BigInteger, nullable=False),
    sa.Column("since", TIMESTAMP(timezone=True), nullable=False),
)
MEMBERS = sa.Table(
    "members",
    METADATA,
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("balance", sa.BigInteger, nullable=False),
    sa.Column("lifetime", sa.BigInteger, nullable=False),
)
