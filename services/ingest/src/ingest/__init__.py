"""Ingest: vendor payloads in, canonical legs out."""
