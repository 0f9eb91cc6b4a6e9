"""Definitions, touchpoints as rules see them, memberships with their edges, timers, and what every follower keeps."""

import sqlalchemy as sa
from alembic import op

from libs.durable.idempotency import create_idempotency, drop_idempotency
from libs.durable.jobs import create_jobs, drop_jobs
from libs.durable.outbox import create_outbox, drop_outbox
from libs.subscriber import create_subscriber_tables, drop_subscriber_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_subscriber_tables(op)
    create_outbox(op)
    create_idempotency(op)
    create_jobs(op)
    _create_definitions()
    op.create_table(
        "behaviours",
        sa.Column("fragment", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("channel", sa.SmallInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("properties", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("fragment", "name", "at_us", "id", name=op.f("pk_behaviours")),
    )
    op.create_table(
        "behaviour_names",
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_behaviour_names")),
    )
    _create_memberships()
    op.create_table(
        "timers",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("segment_id", sa.Text(), nullable=False),
        sa.Column("due_us", sa.BigInteger(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", "segment_id", name=op.f("pk_timers")),
    )
    op.create_index(op.f("ix_timers_due_us"), "timers", ["due_us"], unique=False)


def _create_definitions() -> None:
    op.create_table(
        "segments",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("filled_to", sa.Uuid(), nullable=True),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('filling', 'live', 'deleted')", name=op.f("ck_segments_state_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
    )
    op.create_table(
        "segment_versions",
        sa.Column("segment_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("segment_id", "version", name=op.f("pk_segment_versions")),
    )
    op.create_table(
        "revisions",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_revisions_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_revisions")),
    )
    op.execute("INSERT INTO revisions (id, revision) VALUES (1, 1)")


def _create_memberships() -> None:
    op.create_table(
        "memberships",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("segment_id", sa.Text(), nullable=False),
        sa.Column("is_member", sa.Boolean(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("is_member = (seq % 2 = 1)", name=op.f("ck_memberships_edges_alternate")),
        sa.CheckConstraint("seq > 0", name=op.f("ck_memberships_seq_counts_from_one")),
        sa.PrimaryKeyConstraint("profile_id", "segment_id", name=op.f("pk_memberships")),
    )
    op.create_index(
        "ix_memberships_members", "memberships", ["segment_id", "profile_id"], unique=False, postgresql_where=sa.text("is_member")
    )
    op.create_table(
        "edges",
        sa.Column("segment_id", sa.Text(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("segment_id", "profile_id", "seq", name=op.f("pk_edges")),
    )
    op.create_index(op.f("ix_edges_segment_id_at_us"), "edges", ["segment_id", "at_us"], unique=False)


def downgrade() -> None:
    for table in (
        "timers",
        "edges",
        "memberships",
        "behaviour_names",
        "behaviours",
        "revisions",
        "segment_versions",
        "segments",
    ):
        op.drop_table(table)
    drop_jobs(op)
    drop_idempotency(op)
    drop_outbox(op)
    drop_subscriber_tables(op)
