"""What must survive a crash, once for all services: outbox, idempotency keys, jobs, cursors, webhooks, whose data it is."""
