"""What ingest asks of the outside beside its log and its database."""
