"""Tables of schema `segmentation`: definitions, touchpoints as rules see them, memberships with their edges, timers."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA, TIMESTAMP, UUID

from libs.durable.idempotency import idempotency_tables
from libs.durable.jobs import jobs_tables
from libs.durable.outbox import outbox_tables
from libs.durable.webhooks import webhooks_tables
from libs.kit.db import build_metadata
from libs.subscriber.tables import subscriber_tables

SCHEMA = "segmentation"
METADATA = build_metadata(SCHEMA)
SUBSCRIBER = subscriber_tables(METADATA)
outbox_tables(METADATA)
idempotency_tables(METADATA)
jobs_tables(METADATA)
webhooks_tables(METADATA)

SEGMENTS = sa.Table(
    "segments",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    # The version that brought the present rule; those after it only renamed.
    sa.Column("rule_version", sa.Integer, nullable=False),
    # filling | live | deleted; a deleted one stays, so that its versions and edges go on counting if it comes back.
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("filled_to", UUID),
    sa.Column("job_id", UUID, nullable=False),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("updated_at", TIMESTAMP(timezone=True), nullable=False),
    sa.CheckConstraint("state IN ('filling', 'live', 'deleted')", name="state_known"),
)
SEGMENT_VERSIONS = sa.Table(
    "segment_versions",
    METADATA,
    sa.Column("segment_id", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
)
# One row. Raised with every change of a definition; whoever judges reads it under the shared lock (store/definitions.py).
REVISIONS = sa.Table(
    "revisions",
    METADATA,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.BigInteger, nullable=False),
    sa.CheckConstraint("id = 1", name="one_row"),
)
BEHAVIOURS = sa.Table(
    "behaviours",
    METADATA,
    # The order of the key is the order in which rules ask: the latest of one name first.
    sa.Column("fragment", UUID, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at_us", sa.BigInteger, primary_key=True),
    sa.Column("id", UUID, primary_key=True),
    sa.Column("channel", sa.SmallInteger, nullable=False),
    sa.Column("currency", sa.Text),
    sa.Column("properties", BYTEA),
)
BEHAVIOUR_NAMES = sa.Table("behaviour_names", METADATA, sa.Column("name", sa.Text, primary_key=True))
MEMBERSHIPS = sa.Table(
    "memberships",
    METADATA,
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("segment_id", sa.Text, primary_key=True),
    sa.Column("is_member", sa.Boolean, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("since_us", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.CheckConstraint("seq > 0", name="seq_counts_from_one"),
    # Edges alternate and begin with entering.
    sa.CheckConstraint("is_member = (seq % 2 = 1)", name="edges_alternate"),
)
sa.Index("ix_memberships_members", MEMBERSHIPS.c.segment_id, MEMBERSHIPS.c.profile_id, postgresql_where=sa.text("is_member"))
EDGES = sa.Table(
    "edges",
    METADATA,
    sa.Column("segment_id", sa.Text, primary_key=True),
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True),
    sa.Column("at_us", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
)
sa.Index("ix_edges_segment_id_at_us", EDGES.c.segment_id, EDGES.c.at_us)
# A part of a profile's view since an instant. Nothing moves when profiles merge or split (docs/decisions/0012).
VIEW_VALUES = sa.Table(
    "view_values",
    METADATA,
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("part", sa.Text, primary_key=True),
    sa.Column("at_us", sa.BigInteger, primary_key=True),
    sa.Column("value", BYTEA, nullable=False),
)
LISTS = sa.Table(
    "lists",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
    sa.Column("updated_at", TIMESTAMP(timezone=True), nullable=False),
)
LIST_ENTRIES = sa.Table(
    "list_entries",
    METADATA,
    sa.Column("list_id", sa.Text, primary_key=True),
    # An identifier's address (its epoch-0 fragment id) or a profile id.
    sa.Column("ref", UUID, primary_key=True),
    # One that was taken off stays until whom it leads to is judged.
    sa.Column("is_in", sa.Boolean, nullable=False),
    sa.Column("is_judged", sa.Boolean, nullable=False),
)
sa.Index("ix_list_entries_unjudged", LIST_ENTRIES.c.list_id, LIST_ENTRIES.c.ref, postgresql_where=sa.text("NOT is_judged"))
# A profile id on a list leads to whoever has the fragment that founded it.
sa.Index("ix_sub_profiles_founding", SUBSCRIBER.profiles.c.founding)
EXPORTS = sa.Table(
    "exports",
    METADATA,
    sa.Column("id", UUID, primary_key=True),
    sa.Column("segment_id", sa.Text, nullable=False),
    sa.Column("form", sa.Text, nullable=False),
    sa.Column("columns", sa.ARRAY(sa.Text), nullable=False),
    sa.Column("every", sa.Interval, nullable=False),
    # None: a file.
    sa.Column("webhook_id", UUID),
    sa.Column("next_at", TIMESTAMP(timezone=True), nullable=False, index=True),
    sa.Column("created_at", TIMESTAMP(timezone=True), nullable=False),
)
EXPORT_RUNS = sa.Table(
    "export_runs",
    METADATA,
    sa.Column("export_id", UUID, sa.ForeignKey("exports.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("job_id", UUID, primary_key=True),
    sa.Column("due_at", TIMESTAMP(timezone=True), nullable=False),
)
TIMERS = sa.Table(
    "timers",
    METADATA,
    sa.Column("profile_id", UUID, primary_key=True),
    sa.Column("segment_id", sa.Text, primary_key=True),
    sa.Column("due_us", sa.BigInteger, nullable=False),
    sa.Column("rule_version", sa.Integer, nullable=False),
    # Positive murmur2 of the profile's key: modulo the partitions of profile-changes, the partition it comes by.
    sa.Column("slot", sa.Integer, nullable=False),
)
sa.Index("ix_timers_due_us", TIMERS.c.due_us)
