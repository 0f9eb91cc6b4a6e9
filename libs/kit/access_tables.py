"""The schema `access`: sources, keys (hashed only) and the installation's own record. The one schema that every service reads."""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from libs.kit.migrate import migrate

SCHEMA = "access"
SCRIPT_LOCATION = Path(__file__).parent / "migrations"
SOURCE_KINDS = ("web", "mobile", "server", "pos", "webhook", "import")
SOURCE_ID_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"
IP_POLICIES = ("none", "truncated", "full")

METADATA = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    },
    info={"schema": SCHEMA},
)

SOURCES = sa.Table(
    "sources",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, sa.CheckConstraint(f"kind IN {SOURCE_KINDS}", name="kind"), nullable=False),
    sa.Column("default_channel", sa.Text),
    sa.Column("default_currency", sa.Text, nullable=False, server_default="EUR"),
    sa.Column("user_id_kind", sa.Text, nullable=False, server_default="user_id"),
    sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.Column("verified", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("allowed_origins", pg.ARRAY(sa.Text), nullable=False, server_default="{}"),
    sa.Column("max_events_per_s", sa.Integer),
    sa.Column("burst_events", sa.Integer),
    sa.Column(
        "ip_policy",
        sa.Text,
        sa.CheckConstraint(f"ip_policy IN {IP_POLICIES}", name="ip_policy"),
        nullable=False,
        server_default="none",
    ),
)
WRITE_KEYS = sa.Table(
    "write_keys",
    METADATA,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("source_id", sa.Text, sa.ForeignKey("sources.id", ondelete="CASCADE"), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
)
API_KEYS = sa.Table(
    "api_keys",
    METADATA,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", pg.ARRAY(sa.Text), nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    sa.Column("revoked_at", sa.DateTime(timezone=True)),
)
INSTALLATION = sa.Table(
    "installation",
    METADATA,
    sa.Column("only", sa.Boolean, sa.CheckConstraint("only", name="one_row"), primary_key=True, server_default=sa.true()),
    sa.Column("identity_key_fingerprint", sa.Text, nullable=False),
    sa.Column("identity_version", sa.Integer, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
)


async def migrate_access(dsn: str) -> None:
    await migrate(dsn, schema=SCHEMA, script_location=SCRIPT_LOCATION)
