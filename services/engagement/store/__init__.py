"""PostgreSQL behind the ports, and behind what people edit and read."""

from services.engagement.store.library import Library, MessageRow
from services.engagement.store.outreach import PostgresOutreach

__all__ = ["Library", "MessageRow", "PostgresOutreach"]
