"""The contracts between services: envelope, event classes by subject, topics, codec. No I/O."""
