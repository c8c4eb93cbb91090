"""What notification does. Nothing here commits."""
