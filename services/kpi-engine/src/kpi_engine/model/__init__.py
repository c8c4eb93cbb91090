"""Pure rules: what a KPI model says, what it needs of the facts, which band a person is in."""
