"""The revisions of gamification's schema."""
