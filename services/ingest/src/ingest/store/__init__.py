"""Tables and queries of ingest."""
