"""Outside systems that identity calls."""
