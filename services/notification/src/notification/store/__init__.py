"""Tables and queries, by noun."""
