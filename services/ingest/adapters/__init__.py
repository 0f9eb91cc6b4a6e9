"""What ingest keeps and asks outside the log and the database: the spool on its own disk, Amazon's word for its certificates."""
