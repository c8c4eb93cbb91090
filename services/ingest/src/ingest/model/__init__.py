"""Pure rules of ingest: reading, checking, merging."""
