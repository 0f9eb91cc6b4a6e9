"""PostgreSQL implementations of ingest's ports."""
