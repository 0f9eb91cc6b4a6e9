"""Accounts as all who belong to them speak of them, and whose they are; which links a server vouches for."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import BYTEA, UUID

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("key", UUID, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("state", BYTEA, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_accounts"),
        comment="What all group calls said of an account, whoever sent them; `key` is a hash of its id, which may be long",
    )
    op.create_table(
        "account_members",
        sa.Column("account", UUID, nullable=False),
        sa.Column("fragment", UUID, nullable=False),
        sa.Column("since_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("account", "fragment", name="pk_account_members"),
        comment="Fragments that a group call was folded in, which never changes; its members are the profiles that have those",
    )
    op.create_index("ix_account_members_fragment", "account_members", ["fragment"])
    op.add_column("links", sa.Column("vouched_max", sa.TIMESTAMP(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("links", "vouched_max")
    op.drop_table("account_members")
    op.drop_table("accounts")
