"""Tables of what grows with a customer: never in a state, never loaded whole. Values are MessagePack, not searched inside."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, UUID

from services.profile.tables.metadata import METADATA

FACTS = sa.Table(
    "facts",
    METADATA,
    sa.Column("fragment", UUID, primary_key=True),
    sa.Column("part", sa.SmallInteger, primary_key=True),
    sa.Column("key", BYTEA, primary_key=True),
    sa.Column("ref", BYTEA, nullable=True),
    sa.Column("body", BYTEA, nullable=False),
    # Refunds are looked up by their order's key, orders by their time (8 bytes that sort like it).
    sa.Index("ix_facts_ref", "fragment", "part", "ref", postgresql_where=sa.text("ref IS NOT NULL")),
    comment="Orders, refunds, tickets, reviews, mentions, messages, carts and visits as a fragment knows them; they never move",
)
SESSIONS = sa.Table(
    "sessions",
    METADATA,
    sa.Column("fragment", UUID, primary_key=True),
    sa.Column("start_us", sa.BigInteger, primary_key=True),
    sa.Column("end_us", sa.BigInteger, nullable=False),
    sa.CheckConstraint("start_us <= end_us", name="start_before_end"),
    comment="Web and mobile activity without a pause of more than 30 minutes; a fragment's latest stretch is in its state",
)
TALLIES = sa.Table(
    "tallies",
    METADATA,
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("kind", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("key", BYTEA, primary_key=True),
    sa.Column("rank", sa.BigInteger, nullable=True),
    sa.Column("body", BYTEA, nullable=False),
    sa.Index("ix_tallies_rank", "profile_id", "kind", sa.text("rank DESC"), "key", postgresql_where=sa.text("rank IS NOT NULL")),
    comment="Derived: a profile's figures by key, of which the view shows those of the highest rank",
)
ORDER_DAYS = sa.Table(
    "order_days",
    METADATA,
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("day", sa.Integer, primary_key=True),
    sa.Column("nets", BYTEA, nullable=False),
    comment="Derived: a profile's orders less refunds by UTC day and currency, from which occasions are counted",
)
