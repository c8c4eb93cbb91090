"""Scaffolds a service, and generates the lists of services in files that cannot import `contracts.ALL_SERVICES`."""
