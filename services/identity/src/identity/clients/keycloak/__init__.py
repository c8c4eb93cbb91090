"""Keycloak, by its admin API: one realm for all tenants, each of which is an Organization in it.

Everything here is brought about, never just created: asked for again it changes nothing, and what was made halfway is
finished. What is in Keycloak is found again by names that follow from ours, and touched only where it is marked as ours.
"""

from identity.clients.keycloak.accounts import ensure_account, find_account
from identity.clients.keycloak.applications import ensure_application, remove_application
from identity.clients.keycloak.connection import Keycloak, connect
from identity.clients.keycloak.organizations import broker_alias, ensure_organization
from identity.clients.keycloak.provider import KeycloakProvider
from identity.clients.keycloak.realm import RealmReport, RealmSpec, ensure_realm

__all__ = [
    "Keycloak",
    "KeycloakProvider",
    "RealmReport",
    "RealmSpec",
    "broker_alias",
    "connect",
    "ensure_account",
    "ensure_application",
    "ensure_organization",
    "ensure_realm",
    "find_account",
    "remove_application",
]
