"""Orders as facts, the ledger, and what a follower of profile-changes keeps."""

import sqlalchemy as sa
from alembic import op

from libs.durable.idempotency import create_idempotency, drop_idempotency
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
    op.create_table(
        "balances",
        sa.Column("account", sa.Uuid(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("lifetime", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("account", name=op.f("pk_balances")),
    )
    op.create_table(
        "members",
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.Column("lifetime", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("profile_id", name=op.f("pk_members")),
    )
    op.create_table(
        "order_parts",
        sa.Column("fragment", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("part", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("fragment", "order_id", name=op.f("pk_order_parts")),
    )
    op.create_table(
        "order_points",
        sa.Column("fragment", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("fragment", "order_id", name=op.f("pk_order_points")),
    )
    op.create_table(
        "refund_parts",
        sa.Column("fragment", sa.Uuid(), nullable=False),
        sa.Column("refund_key", sa.Text(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("part", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("fragment", "refund_key", name=op.f("pk_refund_parts")),
    )
    op.create_index(op.f("ix_refund_parts_fragment_order_id"), "refund_parts", ["fragment", "order_id"], unique=False)
    op.create_table(
        "transfers",
        sa.Column("transaction_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("debit", sa.Uuid(), nullable=False),
        sa.Column("credit", sa.Uuid(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("profile_id", sa.Uuid(), nullable=False),
        sa.Column("order_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("posted_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("debit <> credit", name=op.f("ck_transfers_accounts_differ")),
        sa.CheckConstraint("points > 0", name=op.f("ck_transfers_points_positive")),
        sa.PrimaryKeyConstraint("transaction_id", "line", name=op.f("pk_transfers")),
    )
    op.create_index(op.f("ix_transfers_credit_posted_at"), "transfers", ["credit", "posted_at"], unique=False)
    op.create_index(op.f("ix_transfers_debit_posted_at"), "transfers", ["debit", "posted_at"], unique=False)


def downgrade() -> None:
    for table in ("transfers", "refund_parts", "order_points", "order_parts", "members", "balances"):
        op.drop_table(table)
    drop_idempotency(op)
    drop_outbox(op)
    drop_subscriber_tables(op)
