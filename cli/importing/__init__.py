"""Real files through the front door: rows become touchpoints of the ingest API, with ids that make a second run harmless."""
