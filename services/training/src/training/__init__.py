"""Templates, rules, assignments, effect."""
