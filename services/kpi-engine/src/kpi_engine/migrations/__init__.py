"""Revisions of kpi-engine's schema."""
