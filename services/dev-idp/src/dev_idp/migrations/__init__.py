"""The revisions of the provider's schema, `oidc`."""
