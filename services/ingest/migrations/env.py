from libs.kit.alembic_env import run_migrations
from services.ingest.tables import METADATA

run_migrations(METADATA)
