"""Keycloak, by its admin API: one realm for all tenants; each tenant is an Organization in it.

Every operation is idempotent, and completes what an interrupted one left behind. Resources are found by names derived from
ours, and changed only where an attribute marks them as ours.
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
