"""Technical means every part shares: settings, errors, HTTP edge, access keys, database, logs, metrics, time. No domain words."""
