"""Training's tables, and the queries on them by noun."""
