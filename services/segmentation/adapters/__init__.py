"""What is neither PostgreSQL nor HTTP: how far the log is consumed."""
