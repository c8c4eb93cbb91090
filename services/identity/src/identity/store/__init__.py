"""The tables of identity and the queries on them. State columns hold the bodies of directory events."""
