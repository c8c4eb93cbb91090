"""Forms: definitions with logic and scoring, submissions pinned to a version, scores."""
