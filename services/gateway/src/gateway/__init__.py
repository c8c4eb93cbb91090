"""The API gateway: a static Envoy configuration, rendered from the list of services and the settings."""
