"""Use cases of ingest. None of them commits."""
