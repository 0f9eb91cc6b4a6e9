"""Everything written about the events that is made from their classes: JSON Schemas, examples, AsyncAPI, docs/events.md.

`python -m libs.events.documents` writes it, `--check` says what is stale. A change that a reader of today's records, or a
record of yesterday, would not survive is refused in both: it belongs in a new version of the event.
"""
