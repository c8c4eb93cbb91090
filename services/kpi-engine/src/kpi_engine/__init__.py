"""KPI models, facts, values and bands."""
