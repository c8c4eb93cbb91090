"""The API gateway: one static Envoy configuration, rendered from the list of services."""
