"""The two providers, each with an Uplift that trusts it, a tenant, and people who have accounts."""

import asyncio
import json
import secrets
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import testkit
from all_in_one.provision import ProvisionReport, ProvisionSettings, provision
from identity.clients import keycloak as kc
from identity.settings import IdentitySettings
from pydantic import SecretStr
from servicekit.settings import PlatformSettings
from testkit.fixtures.keycloak import RunningKeycloak
from testkit.programs import Program, free_port

from tests.flow.suite import Embedded
from tests.sso.browser import PLAIN, Browser
from tests.sso.relying_party import RelyingParty

# A provider may be busy.
wait_for = partial(testkit.wait_for, seconds=60, every=0.05)
T = TypeVar("T")

TENANT = "acme"
PASSWORD = "correct-horse-battery"
PERSON = {"slug": "ada", "display_name": "Ada Abel", "email": "ada@example.org", "roles": [{"role": "agent"}]}


class SsoEnvironment(ABC):
    name: str
    url: str
    issuer: str
    services: tuple[str, ...]

    @property
    def portal(self) -> RelyingParty:
        return RelyingParty(self.issuer, "portal", f"{self.url}/", scope="openid profile organization")

    def request(self, token: str | None, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=60, verify=PLAIN, **arguments)

    def call(self, token: str | None, method: str, path: str, **arguments: Any) -> Any:
        answer = self.request(token, method, path, **arguments)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:1000]}"
        return answer.json() if answer.content else None

    @abstractmethod
    def admin(self) -> str:
        """An access token of the platform admin."""

    @abstractmethod
    def start(self) -> None:
        """Returns when the platform admin is let in."""

    def prepare(self) -> None:
        """Tenant `acme` with ada, who has chosen PASSWORD."""
        self.start()
        self.add_tenant(TENANT)
        first = self.add_person(TENANT, PERSON, "ada")
        with closing(Browser()) as browser:
            self.portal.sign_in(browser, username="ada", password=first, new_password=PASSWORD)

    def add_tenant(self, slug: str) -> None:
        self.call(self.admin(), "POST", "/api/identity/v1/tenants", json={"slug": slug, "name": slug.title()})
        self.wait_until_applied(f"/api/identity/v1/tenants/{slug}/sign-on")

    def add_person(self, tenant: str, spec: dict[str, Any], username: str) -> str:
        """Adds the person with an account. Returns the temporary password."""
        where = {"params": {"tenant": tenant}}
        self.call(self.admin(), "POST", "/api/identity/v1/people", json=spec, **where)
        account = f"/api/identity/v1/people/{spec['slug']}/account"
        made = self.call(self.admin(), "POST", account, json={"username": username}, **where)
        self.wait_until_applied(account, **where)
        return str(made["temporary_password"])

    def wait_until_applied(self, path: str, **arguments: Any) -> Any:
        """What is at `path`, once the provider has it."""

        def look() -> Any:
            found = self.call(self.admin(), "GET", path, **arguments)
            states = [each["state"] for each in found.get("items", [found])]
            assert "failed" not in states, json.dumps(found)
            return found if all(state == "applied" for state in states) else None

        return wait_for(look)

    def register_application(
        self, slug: str, spec: dict[str, Any], *, tenant: str = TENANT, **params: Any
    ) -> dict[str, Any]:
        path = f"/api/identity/v1/tenants/{tenant}/applications/{slug}"
        put = self.call(self.admin(), "PUT", path, json=spec, params=params)
        return {**self.wait_until_applied(path), "client_secret": put["client_secret"]}

    def relying_party(self, slug: str, redirect_uri: str, *, tenant: str = TENANT) -> RelyingParty:
        """A subsystem of the tenant, registered."""
        spec = {"protocol": "oidc", "redirect_uris": [redirect_uri], "name": "Customer records"}
        made = self.register_application(slug, spec, tenant=tenant, new_secret=True)
        return RelyingParty(self.issuer, made["client_id"], redirect_uri, made["client_secret"])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, verify=PLAIN, timeout=5).is_success
    except httpx.TransportError:
        return False


@dataclass
class KeycloakEnvironment(SsoEnvironment):
    keycloak: RunningKeycloak
    database: PlatformSettings
    folder: Path
    realm: str = field(default_factory=lambda: f"t{secrets.token_hex(4)}")
    port: int = field(default_factory=free_port)
    name: str = "keycloak"
    services: tuple[str, ...] = ("identity", "forms")

    def __post_init__(self) -> None:
        self.url = f"http://127.0.0.1:{self.port}"
        self.issuer = self.keycloak.issuer(self.realm)
        self.secret = secrets.token_urlsafe(24)
        self.platform = self.database.model_copy(update={"issuer": self.issuer})
        environment = {
            "UPLIFT_DATABASE_URL": self.platform.database_url,
            "UPLIFT_ISSUER": self.issuer,
            "UPLIFT_PARTITIONS": str(self.platform.partitions),
            "UPLIFT_ALLOW_PRIVATE_ADDRESSES": "true",
            "IDENTITY_KEYCLOAK_URL": self.keycloak.url,
            "IDENTITY_KEYCLOAK_REALM": self.realm,
            "IDENTITY_KEYCLOAK_CLIENT_SECRET": self.secret,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self.server = Program(
            "Uplift",
            [sys.executable, "-m", "tests.sso.serving", str(self.port)],
            log=self.folder / "uplift.log",
            ready=lambda: _answers(f"{self.url}/readyz"),
            env=environment,
            seconds=90,
        )
        self._admin: dict[str, Any] = {}
        self._admin_until = 0.0

    def provision(self, *, repair: bool = False) -> ProvisionReport:
        settings = ProvisionSettings(admin_password=SecretStr(self.keycloak.admin), public_url=self.url)
        keycloak = IdentitySettings(
            keycloak_url=self.keycloak.url, keycloak_realm=self.realm, keycloak_client_secret=SecretStr(self.secret)
        )
        return asyncio.run(provision(repair=repair, settings=settings, platform=self.platform, keycloak=keycloak))

    def run_as_keycloak_admin(self, job: Callable[[kc.Keycloak], Coroutine[Any, Any, T]]) -> T:
        """What the job gives, done as Keycloak's own admin."""
        credentials = {"username": self.keycloak.admin, "password": self.keycloak.admin}

        async def run() -> T:
            async with kc.connect(
                self.keycloak.url, self.realm, credentials, admin_realm="master", timeout_seconds=60
            ) as connection:
                return await job(connection)

        return asyncio.run(run())

    def unlock(self, username: str) -> None:
        """Who was turned away twice within a second is kept out for a minute."""

        async def forget(connection: kc.Keycloak) -> None:
            found = await kc.find_account(connection, username)
            assert found is not None
            await connection.delete(f"attack-detection/brute-force/users/{found['id']}")

        self.run_as_keycloak_admin(forget)

    def admin(self) -> str:
        if not self._admin:
            with closing(Browser()) as browser:
                self._admin = self.portal.sign_in(
                    browser, username="platform-admin", password=self.one_time, new_password=PASSWORD
                )
            self._admin_until = time.monotonic() + 200
        elif time.monotonic() > self._admin_until:
            self._admin = self.portal.refresh(self._admin["refresh_token"]).raise_for_status().json()
            self._admin_until = time.monotonic() + 200
        return str(self._admin["access_token"])

    def start(self) -> None:
        outcome = self.provision()
        assert outcome.password, outcome
        self.one_time = outcome.password
        self.server.start()
        wait_for(lambda: self.request(self.admin(), "GET", "/api/identity/v1/me").is_success)


class EmbeddedEnvironment(SsoEnvironment):
    name = "embedded"
    services = ("identity", "forms", "training")

    def __init__(self, folder: Path) -> None:
        self.suite = Embedded(folder / "data", deliver_twice=False, allow_private_addresses=True)

    @property
    def url(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.suite.url

    @property
    def issuer(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"{self.suite.url}/oidc"

    def admin(self) -> str:
        return self.suite.token("platform")

    def start(self) -> None:
        self.suite.start("--no-demo")
        self.suite.set_platform_password()
