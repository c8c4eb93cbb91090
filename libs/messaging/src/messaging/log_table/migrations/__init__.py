"""The revisions of the log table's schema, `broker`. They are its only description; `servicekit.wiring` has them run."""
