"""The identity graph, the journal, facets and facts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from libs.durable.idempotency import create_idempotency, drop_idempotency
from libs.durable.jobs import create_jobs, drop_jobs
from libs.durable.outbox import create_outbox, drop_outbox

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    "touchpoints",
    "touchpoint_outcomes",
    "fragments",
    "profiles",
    "epochs",
    "links",
    "bans",
    "refusals",
    "history",
    "timeline",
    "facets",
    "facet_versions",
    "facets_pending",
    "trait_keys",
    "generation",
    "facts",
    "sessions",
    "order_days",
)


def upgrade() -> None:
    create_outbox(op)
    create_idempotency(op)
    create_jobs(op)
    op.execute(sa.schema.CreateSequence(sa.Sequence("applications")))
    _create_graph()
    _create_journal()
    _create_facets()
    _create_facts()
    op.execute("INSERT INTO generation (id, value) VALUES (1, 0)")
    # Views are written whole at every change: leave room for the next version in the page, and don't compress what fits.
    op.execute("ALTER TABLE profiles SET (fillfactor = 50, toast_tuple_target = 8160)")
    op.execute("ALTER TABLE fragments SET (fillfactor = 70, toast_tuple_target = 8160)")
    # A queue: rows live a moment.
    op.execute("ALTER TABLE facets_pending SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)")


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)
    op.execute(sa.schema.DropSequence(sa.Sequence("applications")))
    drop_jobs(op)
    drop_idempotency(op)
    drop_outbox(op)


def _create_graph() -> None:
    op.create_table(
        "touchpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_touchpoints")),
        comment="Ids whose effects are in, for ever: what makes every effect happen once",
    )
    op.create_table(
        "touchpoint_outcomes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("outcome IN ('ignored', 'dead_lettered')", name=op.f("ck_touchpoint_outcomes_outcome_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_touchpoint_outcomes")),
        comment="Touchpoints that changed no profile",
    )
    op.create_table(
        "fragments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fragments")),
        comment="An identifier in one epoch: the profile it belongs to, and what was folded in it",
    )
    op.create_table(
        "profiles",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("founding", sa.Uuid(), nullable=False),
        sa.Column("founded", sa.BigInteger(), nullable=False),
        sa.Column("founded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("members", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("absorbed_into", sa.Uuid(), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("causes", sa.Text(), nullable=False),
        sa.Column("nodes", sa.LargeBinary(), nullable=False),
        sa.Column("totals", sa.LargeBinary(), nullable=False),
        sa.Column("identifiers", sa.LargeBinary(), nullable=False),
        sa.Column("core", sa.LargeBinary(), nullable=False),
        sa.Column("facets", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("absorbed_into IS NULL OR members = '{}'", name=op.f("ck_profiles_absorbed_has_no_members")),
        sa.CheckConstraint("version >= 0", name=op.f("ck_profiles_version_not_negative")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profiles")),
        comment="A group of fragments; its row and version outlive merge, split and erasure. Version 0: nobody has seen it",
    )
    op.create_table(
        "epochs",
        sa.Column("address", sa.Uuid(), nullable=False),
        sa.Column("fragment", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("touchpoint_id", sa.Uuid(), nullable=True),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_epochs")),
        comment="Addresses (epoch-0 fragment ids) that resolve to a later epoch",
    )
    op.create_table(
        "links",
        sa.Column("a", sa.Uuid(), nullable=False),
        sa.Column("b", sa.Uuid(), nullable=False),
        sa.Column("received_max", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by_alias", sa.Boolean(), nullable=False),
        sa.Column("touchpoint_id", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("a < b", name=op.f("ck_links_pair_sorted")),
        sa.PrimaryKeyConstraint("a", "b", name=op.f("pk_links")),
        comment="Which identifiers a touchpoint named together, from its strongest to each other one, and the first that did",
    )
    op.create_index(op.f("ix_links_b"), "links", ["b"], unique=False)
    op.create_table(
        "bans",
        sa.Column("a", sa.Uuid(), nullable=False),
        sa.Column("b", sa.Uuid(), nullable=False),
        sa.Column("void_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ban_id", sa.Uuid(), nullable=False),
        sa.CheckConstraint("a < b", name=op.f("ck_bans_pair_sorted")),
        sa.PrimaryKeyConstraint("a", "b", name=op.f("pk_bans")),
        comment="A link of the pair counts if it was received later than void_until: infinity while banned",
    )
    op.create_index(op.f("ix_bans_b"), "bans", ["b"], unique=False)


def _create_journal() -> None:
    op.create_table(
        "refusals",
        sa.Column("touchpoint_id", sa.Uuid(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("own", sa.Uuid(), nullable=False),
        sa.Column("fragments", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("touchpoint_id", "reason", name=op.f("pk_refusals")),
        comment="Identifiers that gave way; a rebuild replays them",
    )
    op.create_index(op.f("ix_refusals_applied"), "refusals", ["applied"], unique=False)
    op.create_table(
        "history",
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("fragments", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("touchpoint_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('merge', 'split')", name=op.f("ck_history_kind_known")),
        sa.PrimaryKeyConstraint("applied", "other_id", name=op.f("pk_history")),
        comment="Merges and splits with their causes: `other_id` was absorbed by, or left, `profile_id`",
    )
    op.create_index(op.f("ix_history_other_id"), "history", ["other_id"], unique=False)
    op.create_index(op.f("ix_history_profile_id"), "history", ["profile_id"], unique=False)
    op.create_table(
        "timeline",
        sa.Column("fragment", sa.Uuid(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("applied", sa.BigInteger(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        comment="The journal: each touchpoint, the fragment it was folded in for ever, its place in the order of application",
    )
    op.create_index(
        "ix_timeline_fragment",
        "timeline",
        ["fragment", sa.literal_column("occurred_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )


def _create_facets() -> None:
    op.create_table(
        "facets",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("facet", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "facet", "key", name=op.f("pk_facets")),
        comment="What other services said of a profile, under the id they named; the highest seq of a key stands",
    )
    op.create_table(
        "facet_versions",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("facet", sa.Text(), nullable=False),
        sa.Column("profile_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "facet", name=op.f("pk_facet_versions")),
        comment="The highest profile version each facet has judged",
    )
    op.create_table(
        "facets_pending",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", name=op.f("pk_facets_pending")),
        comment="Profiles whose facets changed and aren't in a version yet",
    )
    op.create_table(
        "trait_keys",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("keys", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", name=op.f("pk_trait_keys")),
        comment="Hashes of (trait, value), for the search by exact value; hits are compared with the view",
    )
    op.create_index("ix_trait_keys_keys", "trait_keys", ["keys"], unique=False, postgresql_using="gin")
    op.create_table(
        "generation",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_generation_only_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_generation")),
        comment="Raised by a rebuild or restore, so that no version runs backwards",
    )


def _create_facts() -> None:
    op.create_table(
        "facts",
        sa.Column("fragment", sa.Uuid(), nullable=False),
        sa.Column("part", sa.SmallInteger(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("ref", sa.LargeBinary(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("fragment", "part", "key", name=op.f("pk_facts")),
        comment=(
            "Orders, refunds, tickets, reviews, mentions and messages as a fragment knows them; they never move to another one"
        ),
    )
    op.create_index(
        "ix_facts_ref", "facts", ["fragment", "part", "ref"], unique=False, postgresql_where=sa.text("ref IS NOT NULL")
    )
    op.create_table(
        "sessions",
        sa.Column("fragment", sa.Uuid(), nullable=False),
        sa.Column("start_us", sa.BigInteger(), nullable=False),
        sa.Column("end_us", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("start_us <= end_us", name=op.f("ck_sessions_start_before_end")),
        sa.PrimaryKeyConstraint("fragment", "start_us", name=op.f("pk_sessions")),
        comment="Web and mobile activity without a pause of more than 30 minutes; a fragment's latest stretch is in its state",
    )
    op.create_table(
        "order_days",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("nets", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "day", name=op.f("pk_order_days")),
        comment="Derived: a profile's orders less refunds by UTC day and currency, from which occasions are counted",
    )
