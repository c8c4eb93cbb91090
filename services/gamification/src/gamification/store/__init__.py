"""Gamification's tables, and the queries on them by noun."""
