"""Everything outside but PostgreSQL: the spool on this disk, Redis, Amazon's notifications, and the log looked at from outside."""
