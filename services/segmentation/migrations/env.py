from libs.kit.alembic_env import run_migrations
from services.segmentation.tables import METADATA

run_migrations(METADATA)
