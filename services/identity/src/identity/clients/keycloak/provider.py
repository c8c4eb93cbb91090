"""Keycloak as login provider."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from identity.clients.keycloak import accounts, applications, brokers, organizations
from identity.clients.keycloak.connection import Keycloak, connect
from identity.clients.provider import ExistingAccount, Provider
from identity.model.applications import Account, Application, IdentityProvider


@dataclass(frozen=True)
class KeycloakProvider(Provider):
    """A realm of a Keycloak at `url`. Each operation opens a connection of its own."""

    realm: str

    def connect(self) -> AbstractAsyncContextManager[Keycloak]:
        """Opens a connection with identity's service account. See `connection.connect`."""
        credentials = {"client_id": self.client_id, "client_secret_key": self.client_secret}
        return connect(self.url, self.realm, credentials)

    async def ensure_organization(self, tenant: str, *, name: str, enabled: bool) -> None:
        """See `organizations.ensure_organization`."""
        async with self.connect() as keycloak:
            await organizations.ensure_organization(keycloak, tenant, name=name, enabled=enabled)

    async def ensure_application(
        self, tenant: str, slug: str, application: Application, *, secret: str | None
    ) -> str | None:
        """See `applications.ensure_application`."""
        async with self.connect() as keycloak:
            return await applications.ensure_application(keycloak, tenant, slug, application, secret=secret)

    async def remove_application(self, tenant: str, slug: str, application: Application) -> None:
        """See `applications.remove_application`."""
        async with self.connect() as keycloak:
            await applications.remove_application(keycloak, tenant, slug, application)

    async def ensure_broker(self, tenant: str, provider: IdentityProvider, *, secret: str | None) -> None:
        """See `brokers.ensure_broker`."""
        async with self.connect() as keycloak:
            await brokers.ensure_broker(keycloak, tenant, provider, secret=secret)

    async def remove_broker(self, tenant: str) -> None:
        """See `brokers.remove_broker`."""
        async with self.connect() as keycloak:
            await brokers.remove_broker(keycloak, tenant)

    async def find_account(self, username: str) -> ExistingAccount | None:
        """See `accounts.find_account`."""
        async with self.connect() as keycloak:
            found = await accounts.find_account(keycloak, username)
            return ExistingAccount(str(found["id"]), accounts.get_home_tenant(found)) if found else None

    async def ensure_account(self, tenant: str, account: Account, *, password: str | None) -> str:
        """See `accounts.ensure_account`."""
        async with self.connect() as keycloak:
            return await accounts.ensure_account(keycloak, tenant, account, password=password)

    async def close_account(self, tenant: str, account: Account) -> None:
        """See `accounts.close_account`."""
        async with self.connect() as keycloak:
            await accounts.close_account(keycloak, tenant, account)
