"""The tables of identity and the queries on them. Columns named `state` hold the bodies of directory events."""
