"""Tables of the identity graph, the view and the journal. Growing parts of a state are in `facts`.

Folded state travels as bytea: PostgreSQL would parse jsonb on the way in, and nothing is searched inside it.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, TIMESTAMP, UUID

from libs.durable.idempotency import idempotency_tables
from libs.durable.jobs import jobs_tables
from libs.durable.outbox import outbox_tables
from services.profile.tables.metadata import METADATA

outbox_tables(METADATA)
idempotency_tables(METADATA)
jobs_tables(METADATA)

TOUCHPOINTS = sa.Table(
    "touchpoints",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    comment="Ids whose effects are in, for ever: what makes every effect happen once",
)
TOUCHPOINT_OUTCOMES = sa.Table(
    "touchpoint_outcomes",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", TIMESTAMP(timezone=True), nullable=False),
    sa.CheckConstraint("outcome IN ('ignored', 'dead_lettered')", name="outcome_known"),
    comment="Touchpoints that changed no profile",
)
FRAGMENTS = sa.Table(
    "fragments",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("profile_id", UUID, nullable=False),
    sa.Column("state", BYTEA, nullable=False),
    comment="An identifier in one epoch: the profile it belongs to, and what was folded in it",
)
PROFILES = sa.Table(
    "profiles",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("founding", UUID, nullable=False),
    sa.Column("founded", sa.BigInteger, nullable=False),
    sa.Column("founded_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("members", ARRAY(UUID), nullable=False),
    sa.Column("absorbed_into", UUID, nullable=True),
    sa.Column("updated_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("causes", sa.Text, nullable=False),
    sa.Column("nodes", BYTEA, nullable=False),
    sa.Column("totals", BYTEA, nullable=False),
    sa.Column("identifiers", BYTEA, nullable=False),
    sa.Column("core", BYTEA, nullable=False),
    sa.Column("facets", BYTEA, nullable=False),
    sa.CheckConstraint("version >= 0", name="version_not_negative"),
    sa.CheckConstraint("absorbed_into IS NULL OR members = '{}'", name="absorbed_has_no_members"),
    comment="A group of fragments; its row and version outlive merge, split and erasure. Version 0: nobody has seen it",
)
EPOCHS = sa.Table(
    "epochs",
    METADATA,
    sa.Column("address", UUID, primary_key=True),
    sa.Column("fragment", UUID, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("touchpoint_id", UUID, nullable=True),
    sa.Column("applied", sa.BigInteger, nullable=False),
    sa.Column("at", TIMESTAMP(timezone=True), nullable=False),
    comment="Addresses (epoch-0 fragment ids) that resolve to a later epoch",
)
LINKS = sa.Table(
    "links",
    METADATA,
    sa.Column("a", UUID, primary_key=True),
    sa.Column("b", UUID, primary_key=True),
    sa.Column("received_max", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("by_alias", sa.Boolean, nullable=False),
    sa.Column("touchpoint_id", UUID, nullable=True),
    sa.Column("occurred_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("applied", sa.BigInteger, nullable=False),
    sa.Column("command_id", UUID, nullable=True),
    sa.Column("vouched_max", TIMESTAMP(timezone=True), nullable=True),
    sa.CheckConstraint("a < b", name="pair_sorted"),
    sa.CheckConstraint("(touchpoint_id IS NULL) <> (command_id IS NULL)", name="one_cause"),
    sa.Index(None, "b"),
    comment="Which identifiers a touchpoint (its strongest with each other one) or a command named together; the first that did",
)
BANS = sa.Table(
    "bans",
    METADATA,
    sa.Column("a", UUID, primary_key=True),
    sa.Column("b", UUID, primary_key=True),
    sa.Column("void_until", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("ban_id", UUID, nullable=False),
    sa.CheckConstraint("a < b", name="pair_sorted"),
    sa.Index(None, "b"),
    sa.Index(None, "ban_id"),
    comment="A link of the pair counts if it was received later than void_until: infinity while banned",
)
REFUSALS = sa.Table(
    "refusals",
    METADATA,
    sa.Column("touchpoint_id", UUID, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("own", UUID, nullable=True),
    sa.Column("fragments", ARRAY(UUID), nullable=False),
    sa.Column("applied", sa.BigInteger, nullable=False),
    sa.Column("at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("named", ARRAY(sa.Text), nullable=True),
    sa.Column("rules", sa.Integer, nullable=True),
    sa.Index(None, "applied"),
    comment="Identifiers that gave way, or identify nobody (`named`, kind:value), by which version of the rules; a rebuild "
    "replays them",
)
HISTORY = sa.Table(
    "history",
    METADATA,
    sa.Column("applied", sa.BigInteger, primary_key=True),
    sa.Column("other_id", UUID, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("profile_id", UUID, nullable=False),
    sa.Column("fragments", ARRAY(UUID), nullable=False),
    sa.Column("touchpoint_id", UUID, nullable=True),
    sa.Column("reason", sa.Text, nullable=True),
    sa.Column("at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("command_id", UUID, nullable=True),
    sa.Column("actor", sa.Text, nullable=True),
    sa.CheckConstraint("kind IN ('merge', 'split', 'unban')", name="kind_known"),
    sa.Index(None, "profile_id"),
    sa.Index(None, "other_id"),
    sa.Index(None, "command_id"),
    sa.Index("ix_history_splits", "applied", postgresql_where=sa.text("kind = 'split'")),
    comment="Merges, splits and lifted bans with their causes: `other_id` was absorbed by, left, or may again be linked with "
    "`profile_id`",
)
IDENTITY_RULES = sa.Table(
    "identity_rules",
    METADATA,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    comment="The rules of identity, every version of them; the highest is in force. None: as installed",
)
TIMELINE = sa.Table(
    "timeline",
    METADATA,
    sa.Column("fragment", UUID, nullable=False),
    sa.Column("occurred_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("id", UUID, nullable=False),
    sa.Column("applied", sa.BigInteger, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("sentiment", sa.Text, nullable=True),
    sa.Column("consents", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_timeline_fragment", "fragment", sa.text("occurred_at DESC"), sa.text("id DESC")),
    # What was ever said of consent, without what lies between: the journal is its history, and nothing in it is changed.
    sa.Index(
        "ix_timeline_consents",
        "fragment",
        sa.text("occurred_at DESC"),
        sa.text("id DESC"),
        postgresql_where=sa.text("consents"),
    ),
    comment="The journal: each touchpoint, the fragment it was folded in for ever, its place in the order of application",
)
FACETS = sa.Table(
    "facets",
    METADATA,
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("facet", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("body", BYTEA, nullable=False),
    comment="What other services said of a profile, under the id they named; the highest seq of a key stands",
)
FACET_VERSIONS = sa.Table(
    "facet_versions",
    METADATA,
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("facet", sa.Text, primary_key=True),
    sa.Column("profile_version", sa.BigInteger, nullable=False),
    comment="The highest profile version each facet has judged",
)
FACETS_PENDING = sa.Table(
    "facets_pending",
    METADATA,
    sa.Column("profile_id", UUID, primary_key=True),
    comment="Profiles whose facets changed and aren't in a version yet",
)
TRAIT_KEYS = sa.Table(
    "trait_keys",
    METADATA,
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("keys", ARRAY(sa.BigInteger), nullable=False),
    sa.Index("ix_trait_keys_keys", "keys", postgresql_using="gin"),
    comment="Hashes of (trait, value), for the search by exact value; hits are compared with the view",
)
NAMES = sa.Table(
    "names",
    METADATA,
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("name", sa.Text(collation="C"), nullable=False),
    sa.Column("keys", ARRAY(sa.BigInteger), nullable=False),
    sa.Index("ix_names_keys", "keys", postgresql_using="gin"),
    sa.Index("ix_names_name", "name", "profile_id"),
    comment="Hashes of how names begin and of what is left of them without one letter; what profiles are sorted by name by",
)
GENERATION = sa.Table(
    "generation",
    METADATA,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("value", sa.Integer, nullable=False),
    sa.CheckConstraint("id = 1", name="only_row"),
    comment="Raised by a rebuild or restore, so that no version runs backwards",
)
APPLICATIONS = sa.Sequence("applications", metadata=METADATA)
