"""Tracking plans and what broke them, suppressions, and counts by source."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TIMESTAMP

revision = "0003_governance"
down_revision = "0002_webhooks"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, TIMESTAMP(timezone=True), nullable=nullable)


def _number(name: str, kind: type = sa.Integer, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, kind(), nullable=nullable)


def upgrade() -> None:
    _create_plans()
    op.create_table(
        "suppressions",
        sa.Column("fragment", sa.Uuid(), nullable=False),
        sa.Column("suppressed", sa.Boolean(), nullable=False),
        _instant("cutoff", nullable=True),
        _instant("decided_at", nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        _number("revision", sa.BigInteger),
        sa.PrimaryKeyConstraint("fragment", name=op.f("pk_suppressions")),
    )
    op.create_index(op.f("ix_suppressions_revision"), "suppressions", ["revision"])
    op.create_table(
        "suppression_revision",
        sa.Column("only", sa.Boolean(), server_default=sa.true(), nullable=False),
        _number("revision", sa.BigInteger),
        sa.PrimaryKeyConstraint("only", name=op.f("pk_suppression_revision")),
        sa.CheckConstraint('"only"', name=op.f("ck_suppression_revision_one_row")),
    )
    op.execute("INSERT INTO suppression_revision (revision) VALUES (0)")
    op.create_table(
        "source_counts",
        _text("source_id"),
        sa.Column("day", sa.Date(), nullable=False),
        _text("outcome"),
        _text("reason"),
        _number("count", sa.BigInteger),
        sa.PrimaryKeyConstraint("source_id", "day", "outcome", "reason", name=op.f("pk_source_counts")),
    )
    op.create_index(op.f("ix_source_counts_day"), "source_counts", ["day"])
    op.create_table(
        "sources_seen",
        _text("source_id"),
        _instant("seen_at"),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_sources_seen")),
    )


def _create_plans() -> None:
    op.create_table(
        "tracking_plans",
        _text("id"),
        _number("version"),
        _number("active_version", nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tracking_plans")),
    )
    op.create_table(
        "tracking_plan_versions",
        _text("plan_id"),
        _number("version"),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        _instant("created_at"),
        _text("created_by"),
        sa.PrimaryKeyConstraint("plan_id", "version", name=op.f("pk_tracking_plan_versions")),
        sa.ForeignKeyConstraint(["plan_id"], ["tracking_plans.id"], name=op.f("fk_tracking_plan_versions_plan_id")),
    )
    op.create_table(
        "tracking_plan_sources",
        _text("source_id"),
        _text("plan_id"),
        sa.PrimaryKeyConstraint("source_id", name=op.f("pk_tracking_plan_sources")),
        sa.ForeignKeyConstraint(["plan_id"], ["tracking_plans.id"], name=op.f("fk_tracking_plan_sources_plan_id")),
    )
    op.create_index(op.f("ix_tracking_plan_sources_plan_id"), "tracking_plan_sources", ["plan_id"])
    op.create_table(
        "plan_violations",
        _text("plan_id"),
        _number("version"),
        _text("source_id"),
        _text("event"),
        _text("place"),
        _number("count", sa.BigInteger),
        _instant("first_at"),
        _instant("last_at"),
        sa.Column("samples", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("plan_id", "version", "source_id", "event", "place", name=op.f("pk_plan_violations")),
    )
    op.create_index(op.f("ix_plan_violations_last_at"), "plan_violations", ["last_at"])


def downgrade() -> None:
    for table in (
        "sources_seen",
        "source_counts",
        "suppression_revision",
        "suppressions",
        "plan_violations",
        "tracking_plan_sources",
        "tracking_plan_versions",
        "tracking_plans",
    ):
        op.drop_table(table)
