"""Revisions of ingest's schema."""
