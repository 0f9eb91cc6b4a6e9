"""Sources, write keys, API keys, and what identity rules this installation was made with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_KINDS = "('web', 'mobile', 'server', 'pos', 'webhook', 'import')"


def _instant(name: str, *, now: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not now, server_default=sa.func.now() if now else None)


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("default_channel", sa.Text),
        sa.Column("default_currency", sa.Text, nullable=False, server_default="EUR"),
        sa.Column("user_id_kind", sa.Text, nullable=False, server_default="user_id"),
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("verified", sa.Boolean, nullable=False, server_default=sa.false()),
        _instant("created_at", now=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sources")),
        sa.CheckConstraint(f"kind IN {_KINDS}", name=op.f("ck_sources_kind")),
    )
    op.create_table(
        "write_keys",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        _instant("created_at", now=True),
        _instant("revoked_at"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_write_keys")),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name=op.f("fk_write_keys_source_id"), ondelete="CASCADE"),
    )
    op.create_table(
        "api_keys",
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("scopes", pg.ARRAY(sa.Text), nullable=False),
        _instant("created_at", now=True),
        _instant("revoked_at"),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_api_keys")),
    )
    op.create_table(
        "installation",
        sa.Column("only", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("identity_key_fingerprint", sa.Text, nullable=False),
        sa.Column("identity_version", sa.Integer, nullable=False),
        _instant("created_at", now=True),
        sa.PrimaryKeyConstraint("only", name=op.f("pk_installation")),
        sa.CheckConstraint('"only"', name=op.f("ck_installation_one_row")),
    )


def downgrade() -> None:
    for table in ("installation", "api_keys", "write_keys", "sources"):
        op.drop_table(table)
