"""Use cases. They are given a session and never commit."""
