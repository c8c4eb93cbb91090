"""Pure rules: parsing of KPI models, computation of values, derivation of bands."""
