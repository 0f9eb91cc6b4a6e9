"""What must survive a crash, once for all services: outbox, idempotency keys, jobs, cursors, the installation's record."""
