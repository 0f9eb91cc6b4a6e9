"""All tables of schema `profile`."""

from services.profile.tables import accounts, facts, graph
from services.profile.tables.metadata import METADATA, SCHEMA

__all__ = ["METADATA", "SCHEMA", "accounts", "facts", "graph"]
