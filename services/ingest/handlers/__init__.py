"""Use cases of ingest: take touchpoints, park what was refused, send it through again."""
