"""PostgreSQL implementations of the ports, and the questions that only the API asks."""

from services.segmentation.store.behaviours import PostgresBehaviours
from services.segmentation.store.definitions import PostgresDefinitions
from services.segmentation.store.lists import PostgresLists
from services.segmentation.store.memberships import PostgresMemberships
from services.segmentation.store.pages import PostgresProfilePages
from services.segmentation.store.view_history import PostgresViewHistory

__all__ = [
    "PostgresBehaviours",
    "PostgresDefinitions",
    "PostgresLists",
    "PostgresMemberships",
    "PostgresProfilePages",
    "PostgresViewHistory",
]
