"""Clients of a tenant's webhook endpoints and of the mail server."""
