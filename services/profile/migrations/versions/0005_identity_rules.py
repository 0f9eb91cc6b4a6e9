"""Rules of identity in versions; refusals of values that have no fragment; lifted bans in the history."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KINDS = "kind IN ('merge', 'split', 'unban')"
_KINDS_BEFORE = "kind IN ('merge', 'split')"
_REFUSALS = (
    "Identifiers that gave way, or identify nobody (`named`, kind:value), by which version of the rules; a rebuild replays them"
)
_REFUSALS_BEFORE = "Identifiers that gave way; a rebuild replays them"
_HISTORY = (
    "Merges, splits and lifted bans with their causes: `other_id` was absorbed by, left, or may again be linked with `profile_id`"
)
_HISTORY_BEFORE = "Merges and splits with their causes: `other_id` was absorbed by, or left, `profile_id`"


def upgrade() -> None:
    op.create_table(
        "identity_rules",
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_identity_rules")),
        comment="The rules of identity, every version of them; the highest is in force. None: as installed",
    )
    op.alter_column("refusals", "own", nullable=True)
    op.add_column("refusals", sa.Column("named", ARRAY(sa.Text()), nullable=True))
    op.add_column("refusals", sa.Column("rules", sa.Integer(), nullable=True))
    op.create_table_comment("refusals", _REFUSALS, existing_comment=_REFUSALS_BEFORE)
    _allow_history(_KINDS, unique=False)
    op.create_table_comment("history", _HISTORY, existing_comment=_HISTORY_BEFORE)
    op.create_index("ix_history_splits", "history", ["applied"], postgresql_where=sa.text("kind = 'split'"))


def downgrade() -> None:
    op.drop_index("ix_history_splits", "history")
    op.execute("DELETE FROM history WHERE kind = 'unban'")
    _allow_history(_KINDS_BEFORE, unique=True)
    op.create_table_comment("history", _HISTORY_BEFORE, existing_comment=_HISTORY)
    op.execute("DELETE FROM refusals WHERE named IS NOT NULL")
    op.drop_column("refusals", "rules")
    op.drop_column("refusals", "named")
    op.alter_column("refusals", "own", nullable=False)
    op.create_table_comment("refusals", _REFUSALS_BEFORE, existing_comment=_REFUSALS)
    op.drop_table("identity_rules")


def _allow_history(kinds: str, *, unique: bool) -> None:
    """A lifted ban stands once for each profile concerned, all with the id of the command that made the ban."""
    op.drop_constraint(op.f("ck_history_kind_known"), "history")
    op.create_check_constraint(op.f("ck_history_kind_known"), "history", kinds)
    op.drop_index(op.f("ix_history_command_id"), "history")
    op.create_index(op.f("ix_history_command_id"), "history", ["command_id"], unique=unique)
