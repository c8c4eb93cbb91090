"""A tenant's own provider: another realm, which knows nothing of Uplift."""

import asyncio
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from identity.clients import keycloak as kc
from testkit.fixtures.keycloak import RunningKeycloak

PASSWORD = "the-password-at-home"


@dataclass
class OwnProvider:
    keycloak: RunningKeycloak
    tenant: str
    realm: str = field(default_factory=lambda: f"own{secrets.token_hex(4)}")
    secret: str = "not-told-again"

    @property
    def path(self) -> str:
        """Where it is put."""
        return f"/api/identity/v1/tenants/{self.tenant}/identity-provider"

    @property
    def alias(self) -> str:
        return f"{self.tenant}-idp"

    @property
    def hint(self) -> dict[str, str]:
        """What an authorization request says to come here."""
        return {"kc_idp_hint": self.alias}

    def signs_in(self, username: str) -> dict[str, str]:
        return {"username": username, "password": PASSWORD}

    def spec(self) -> dict[str, Any]:
        """As `PUT …/identity-provider` takes it."""
        issuer = self.keycloak.issuer(self.realm)
        at = f"{issuer}/protocol/openid-connect"
        return {
            "protocol": "oidc", "issuer": issuer, "authorization_url": f"{at}/auth", "token_url": f"{at}/token",
            "jwks_url": f"{at}/certs", "client_id": "uplift", "client_secret": self.secret,
        }  # fmt: skip

    def prepare(self, redirect_uri: str, *usernames: str) -> None:
        """Makes it, with Uplift as a client and these people."""

        async def make(connection: kc.Keycloak) -> None:
            await connection.admin.a_create_realm({"realm": self.realm, "enabled": True, "sslRequired": "none"})
            await connection.admin.connection.a_get_token()
            client = {
                "clientId": "uplift", "secret": self.secret, "protocol": "openid-connect", "publicClient": False,
                "standardFlowEnabled": True, "redirectUris": [redirect_uri],
            }  # fmt: skip
            await connection.admin.a_create_client(client)

        self._run(make)
        self.people(*usernames)

    def people(self, *usernames: str) -> list[str]:
        """Each with the address `username@example.org` and PASSWORD. Returns each one's `sub`."""
        made: list[str] = []

        async def make(connection: kc.Keycloak) -> None:
            for username in usernames:
                person = {
                    "username": username, "email": f"{username}@example.org", "firstName": username.title(),
                    "lastName": "Example", "enabled": True,
                    "credentials": [{"type": "password", "value": PASSWORD, "temporary": False}],
                }  # fmt: skip
                made.append(await connection.admin.a_create_user(person))

        self._run(make)
        return made

    def _run(self, job: Callable[[kc.Keycloak], Coroutine[Any, Any, None]]) -> None:
        credentials = {"username": self.keycloak.admin, "password": self.keycloak.admin}

        async def run() -> None:
            async with kc.connect(
                self.keycloak.url, self.realm, credentials, admin_realm="master", timeout_seconds=120
            ) as connection:
                await job(connection)

        asyncio.run(run())
