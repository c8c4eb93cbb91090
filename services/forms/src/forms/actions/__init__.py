"""What can be done with forms and submissions. Nothing here commits."""
