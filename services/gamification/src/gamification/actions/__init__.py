"""Gamification's use cases, by noun."""
