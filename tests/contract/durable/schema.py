"""The tables of libs.durable in a schema of their own, made by the same helpers that services' migrations call."""

from pathlib import Path

import sqlalchemy as sa

from libs.durable.idempotency import idempotency_tables
from libs.durable.jobs import jobs_tables
from libs.durable.outbox import outbox_tables
from libs.kit.db import build_metadata, migrate

SCHEMA = "durable"
_ENV = "from libs.kit.alembic_env import run_migrations\n\nrun_migrations()\n"
_REVISION = """
from alembic import op

from libs.durable.idempotency import create_idempotency, drop_idempotency
from libs.durable.jobs import create_jobs, drop_jobs
from libs.durable.outbox import create_outbox, drop_outbox

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_outbox(op)
    create_idempotency(op)
    create_jobs(op)


def downgrade() -> None:
    drop_jobs(op)
    drop_idempotency(op)
    drop_outbox(op)
"""


def declare_tables() -> sa.MetaData:
    metadata = build_metadata(SCHEMA)
    outbox_tables(metadata)
    idempotency_tables(metadata)
    jobs_tables(metadata)
    return metadata


async def migrate_durable(dsn: str, folder: Path) -> None:
    """A migration script like a service's, run like a service's."""
    versions = folder / "versions"
    versions.mkdir(exist_ok=True)
    (folder / "env.py").write_text(_ENV)
    (versions / "0001_durable.py").write_text(_REVISION)
    await migrate(dsn, schema=SCHEMA, script_location=folder)
