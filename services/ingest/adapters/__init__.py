"""Everything outside but PostgreSQL: spool and files on this disk, Redis, Amazon's notifications, the log from outside."""
