"""Training's use cases, by noun."""
