"""The use cases of notification. Nothing here commits."""
