"""A Keycloak as identity's login provider: each call by a connection of its own."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from identity.clients.keycloak import accounts, applications, brokers, organizations
from identity.clients.keycloak.connection import Keycloak, connect
from identity.clients.provider import ExistingAccount, Provider
from identity.model.applications import Account, Application, IdentityProvider


@dataclass(frozen=True)
class KeycloakProvider(Provider):
    realm: str

    def connect(self) -> AbstractAsyncContextManager[Keycloak]:
        credentials = {"client_id": self.client_id, "client_secret_key": self.client_secret}
        return connect(self.url, self.realm, credentials)

    async def ensure_organization(self, tenant: str, *, name: str, enabled: bool) -> None:
        async with self.connect() as keycloak:
            await organizations.ensure_organization(keycloak, tenant, name=name, enabled=enabled)

    async def ensure_application(
        self, tenant: str, slug: str, application: Application, *, secret: str | None
    ) -> str | None:
        async with self.connect() as keycloak:
            return await applications.ensure_application(keycloak, tenant, slug, application, secret=secret)

    async def remove_application(self, tenant: str, slug: str, application: Application) -> None:
        async with self.connect() as keycloak:
            await applications.remove_application(keycloak, tenant, slug, application)

    async def ensure_broker(self, tenant: str, provider: IdentityProvider, *, secret: str | None) -> None:
        async with self.connect() as keycloak:
            await brokers.ensure_broker(keycloak, tenant, provider, secret=secret)

    async def remove_broker(self, tenant: str) -> None:
        async with self.connect() as keycloak:
            await brokers.remove_broker(keycloak, tenant)

    async def find_account(self, username: str) -> ExistingAccount | None:
        async with self.connect() as keycloak:
            found = await accounts.find_account(keycloak, username)
            return ExistingAccount(str(found["id"]), accounts.home_tenant_of(found)) if found else None

    async def ensure_account(self, tenant: str, account: Account, *, password: str | None) -> str:
        async with self.connect() as keycloak:
            return await accounts.ensure_account(keycloak, tenant, account, password=password)

    async def close_account(self, tenant: str, account: Account) -> None:
        async with self.connect() as keycloak:
            await accounts.close_account(keycloak, tenant, account)
