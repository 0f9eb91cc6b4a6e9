from libs.kit.access_tables import METADATA
from libs.kit.alembic_env import run_migrations

run_migrations(METADATA)
