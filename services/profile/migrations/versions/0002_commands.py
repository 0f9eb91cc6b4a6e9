"""Merge and split by command: links and history name the command that caused them, and who gave it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("command_id", sa.Uuid(), nullable=True))
    op.alter_column("links", "touchpoint_id", nullable=True)
    op.create_check_constraint(op.f("ck_links_one_cause"), "links", "(touchpoint_id IS NULL) <> (command_id IS NULL)")
    op.create_table_comment(
        "links",
        "Which identifiers a touchpoint (its strongest with each other one) or a command named together; the first that did",
    )
    op.create_index(op.f("ix_bans_ban_id"), "bans", ["ban_id"])
    op.add_column("history", sa.Column("command_id", sa.Uuid(), nullable=True))
    op.add_column("history", sa.Column("actor", sa.Text(), nullable=True))
    op.create_index(op.f("ix_history_command_id"), "history", ["command_id"], unique=True)


def downgrade() -> None:
    op.drop_index(op.f("ix_history_command_id"), "history")
    op.drop_column("history", "actor")
    op.drop_column("history", "command_id")
    op.drop_index(op.f("ix_bans_ban_id"), "bans")
    op.drop_constraint(op.f("ck_links_one_cause"), "links")
    op.execute("DELETE FROM links WHERE touchpoint_id IS NULL")
    op.alter_column("links", "touchpoint_id", nullable=False)
    op.create_table_comment(
        "links", "Which identifiers a touchpoint named together, from its strongest to each other one, and the first that did"
    )
    op.drop_column("links", "command_id")
