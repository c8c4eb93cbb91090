"""The commands of `uplift`, a module for each group of its help."""
