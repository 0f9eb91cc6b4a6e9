"""What ingest keeps outside the log and the database: the spool on its own disk."""
