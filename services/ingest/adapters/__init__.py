"""What lies outside of ingest and is neither its database nor the log: files."""
