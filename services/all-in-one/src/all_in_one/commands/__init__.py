"""What the `uplift` command can do, a file for each group of its help."""
