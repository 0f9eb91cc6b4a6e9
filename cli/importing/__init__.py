"""Real files through the front door: uploaded to ingest, whose job imports them; here they are shown, followed and reported."""
