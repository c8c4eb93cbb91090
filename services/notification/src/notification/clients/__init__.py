"""The outside world: a tenant's webhook endpoints and the mail server."""
