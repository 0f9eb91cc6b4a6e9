"""Everything outside but PostgreSQL: the spool on this disk, Redis, Amazon's notifications, the log looked at from outside."""
