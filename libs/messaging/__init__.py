"""Records in and out: publisher, batch consumer, dead letters, topic admin. The only package that imports aiokafka."""
