"""Three issuers whose keys the test holds: one of the test's own, the embedded provider, and Keycloak. Each gives a token
that it really issued; the test changes it and signs it with the issuer's own key."""

import base64
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import dev_idp
import httpx
from dev_idp import store
from fastapi import FastAPI
from identity.clients import keycloak as kc
from identity.model.applications import Account
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey
from servicekit.tokens import TokenVerifier
from servicekit.wiring import migrate_schema
from storage import create_engine
from testkit import AUDIENCE, ISSUER, Cluster, TestIssuer
from testkit.fixtures.keycloak import RunningKeycloak

from tests.sso.browser import PLAIN

USER, SECRET, TENANT = "ada", "correct-horse-battery", "acme"


def encode_part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def decode_unchecked(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, unchecked."""
    first, second, _ = token.split(".")
    head, body = (json.loads(base64.urlsafe_b64decode(each + "=" * (-len(each) % 4))) for each in (first, second))
    return head, body


@dataclass
class Issuer:
    """`tokens`: what it issued: `access_token`, and where it gives them `id_token` and `refresh_token`."""

    iss: str
    key: RSAKey
    tokens: dict[str, str]
    verifier: TokenVerifier
    header: dict[str, Any] = field(default_factory=dict[str, Any])
    claims: dict[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        self.header, self.claims = decode_unchecked(self.tokens["access_token"])

    def token(self, *, header: Mapping[str, Any] = {}, key: RSAKey | ECKey | None = None, **claims: Any) -> str:
        """The access token it issued, changed. What is given as None is left out."""
        whole = {name: value for name, value in {**self.claims, **claims}.items() if value is not None}
        return jwt.encode({**self.header, **header}, whole, key or self.key, ["RS256", "ES256"])


@asynccontextmanager
async def test_issuer() -> AsyncIterator[Issuer]:
    made = TestIssuer()
    made_token = made.token(USER, TENANT, sid="s-1")
    async with httpx.AsyncClient(transport=made.transport()) as http:
        verifier = TokenVerifier(http, issuer=ISSUER, audience=AUDIENCE)
        yield Issuer(ISSUER, made.key, {"access_token": made_token}, verifier)


@asynccontextmanager
async def embedded(cluster: Cluster) -> AsyncIterator[Issuer]:
    iss = "http://127.0.0.1:8080/oidc"
    with cluster.database() as name:
        settings = cluster.settings(name)
        migrate_schema(dev_idp.MIGRATIONS, settings)
        engine = create_engine(settings.admin_database_url or "", schema="oidc", pool_size=2)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(engine.dispose)
            await dev_idp.ensure_seed_rows(engine)
            await dev_idp.ensure_account(engine, USER, SECRET, TENANT)
            async with engine.connect() as connection:
                key = RSAKey.import_key((await store.load_signing_keys(connection))[0])
            app = FastAPI()
            app.mount("/oidc", dev_idp.create_provider(engine, iss, demo=False))
            http = await stack.enter_async_context(httpx.AsyncClient(transport=httpx.ASGITransport(app)))
            form = {"grant_type": "password", "client_id": dev_idp.CLI_CLIENT, "username": USER, "password": SECRET}
            tokens = (await http.post(f"{iss}/token", data=form)).raise_for_status().json()
            yield Issuer(iss, key, tokens, TokenVerifier(http, issuer=iss, audience=AUDIENCE))


@asynccontextmanager
async def keycloak(running: RunningKeycloak, realm: str) -> AsyncIterator[Issuer]:
    """In a realm of its own whose key is the test's; `direct` is a client that takes passwords, for this test only."""
    iss, key = running.issuer(realm), RSAKey.generate_key(2048, auto_kid=False)
    credentials = {"username": running.admin, "password": running.admin}
    spec = kc.RealmSpec(
        name=realm, audience=AUDIENCE, portal_url="http://127.0.0.1:1", back_channel_url="http://127.0.0.1:1/x",
        service_client="uplift-identity",
    )  # fmt: skip
    async with kc.connect(running.url, realm, credentials, admin_realm="master", timeout_seconds=120) as connection:
        await kc.ensure_realm(connection, spec, repair=False)
        await kc.ensure_organization(connection, TENANT, name="Acme", enabled=True)
        sub = await kc.ensure_account(connection, TENANT, Account(USER, "Ada Abel"))
        await connection.admin.a_set_user_password(sub, SECRET, temporary=False)
        pem = key.as_pem(private=True).decode()
        config = {"priority": ["200"], "enabled": ["true"], "active": ["true"], "privateKey": [pem]}
        provider = {"providerId": "rsa", "providerType": "org.keycloak.keys.KeyProvider", "name": "of the test"}
        await connection.admin.a_create_component({**provider, "config": config})
        client = {
            "clientId": "direct", "publicClient": True, "directAccessGrantsEnabled": True, "protocol": "openid-connect",
            "defaultClientScopes": ["basic", "uplift-api"], "optionalClientScopes": ["organization"],
        }  # fmt: skip
        await connection.admin.a_create_client(client)
        form = {
            "grant_type": "password", "client_id": "direct", "username": USER, "password": SECRET,
            "scope": "openid organization",
        }  # fmt: skip
        async with httpx.AsyncClient(verify=PLAIN, timeout=30) as http:
            answer = await http.post(f"{iss}/protocol/openid-connect/token", data=form)
            assert answer.is_success, answer.text
            yield Issuer(iss, key, answer.json(), TokenVerifier(http, issuer=iss, audience=AUDIENCE))
