"""Everything outside but PostgreSQL: Redis, and the log looked at from outside."""
