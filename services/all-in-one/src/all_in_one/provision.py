"""`uplift provision`: sets up Keycloak's realm and the first platform admin. Idempotent."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
from contracts.directory import PLATFORM_TENANT, Login
from identity.actions import ensure_platform
from identity.clients import keycloak as kc
from identity.model.applications import Account
from identity.service import service as identity
from identity.settings import IdentitySettings
from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict
from servicekit.errors import Problem
from servicekit.settings import PlatformSettings
from servicekit.wiring import build_role_url
from storage import Sessions, create_engine, schema_name

WAIT_SECONDS = 180


class ProvisionSettings(BaseSettings):
    """`UPLIFT_PROVISION_*`: who sets Keycloak up, and where things are."""

    model_config = SettingsConfigDict(env_prefix="UPLIFT_PROVISION_", extra="ignore")

    admin_username: str = "admin"
    """An administrator of Keycloak's realm `master`."""
    admin_password: SecretStr = SecretStr("")
    public_url: str = "http://127.0.0.1:8080"
    """Where browsers find Uplift."""
    back_channel_url: str | None = None
    """Where Keycloak reaches identity's back-channel logout; None: at the public address."""
    platform_admin: str = "platform-admin"
    """The username of the first platform admin."""


class CannotProvision(Exception):
    """One sentence that says why, and the cure."""


@dataclass
class ProvisionReport:
    """What a run created and found. `password` is the first platform admin's one-time password, set when the account was
    created; `service_secret` is identity's, set when Keycloak generated it."""

    made: list[str] = field(default_factory=list[str])
    differs: list[str] = field(default_factory=list[str])
    repaired: bool = False
    username: str = ""
    password: str | None = None
    service_secret: str | None = None

    @property
    def in_order(self) -> bool:
        """Whether the realm is as it should be: nothing differs, or it was repaired."""
        return self.repaired or not self.differs

    def lines(self) -> list[str]:
        """The report as lines for a terminal."""
        lines = [f"made: {each}" for each in self.made]
        lines += [f"{'repaired' if self.repaired else 'DIFFERS'}: {each}" for each in self.differs]
        if self.service_secret:
            lines.append(f"IDENTITY_KEYCLOAK_CLIENT_SECRET={self.service_secret}")
        if self.password:
            lines.append(f"First platform admin: {self.username}, one-time password {self.password}")
        if not self.in_order:
            lines.append("Nothing of it was changed. `uplift provision --repair` brings it back.")
        return lines or ["Everything is as it shall be."]


async def provision(
    *,
    repair: bool,
    settings: ProvisionSettings | None = None,
    platform: PlatformSettings | None = None,
    keycloak: IdentitySettings | None = None,
) -> ProvisionReport:
    """Creates what is missing. Reports what differs, and with `repair` restores it. Raises CannotProvision."""
    settings = settings or ProvisionSettings()
    platform, keycloak = platform or PlatformSettings(), keycloak or IdentitySettings()
    if keycloak.keycloak_url is None:
        raise CannotProvision("Set IDENTITY_KEYCLOAK_URL to where Keycloak answers.")
    await _wait(keycloak.keycloak_url)
    public = settings.public_url.rstrip("/")
    secret = keycloak.keycloak_client_secret.get_secret_value()
    spec = kc.RealmSpec(
        name=keycloak.keycloak_realm,
        audience=platform.audience,
        portal_url=public,
        back_channel_url=settings.back_channel_url or f"{public}{identity.prefix}/back-channel-logout",
        service_client=keycloak.keycloak_client_id,
        service_secret=secret or None,
        portal_client=keycloak.portal_client_id,
    )
    credentials = {
        "username": settings.admin_username,
        "password": settings.admin_password.get_secret_value() or settings.admin_username,
    }
    outcome = ProvisionReport(repaired=repair, username=settings.platform_admin)
    try:
        # Keycloak takes some seconds to create a realm.
        async with kc.connect(
            keycloak.keycloak_url, spec.name, credentials, admin_realm="master", timeout_seconds=120
        ) as connection:
            await _ensure_realm(connection, spec, outcome)
            sub = await _ensure_admin_account(connection, outcome)
    except Problem as problem:
        raise CannotProvision(problem.detail) from problem
    await ensure_platform_admin(platform, sub)
    return outcome


async def _wait(url: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    async with httpx.AsyncClient(timeout=5, verify=url.startswith("https:")) as http:
        while True:
            try:
                if (await http.get(f"{url.rstrip('/')}/realms/master")).is_success:
                    return
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline:
                raise CannotProvision(f"Keycloak did not answer at {url} within {WAIT_SECONDS} s.")
            await asyncio.sleep(0.5)


async def _ensure_realm(connection: kc.Keycloak, spec: kc.RealmSpec, outcome: ProvisionReport) -> None:
    report = await kc.ensure_realm(connection, spec, repair=outcome.repaired)
    outcome.made, outcome.differs = report.created, report.drift
    if spec.service_secret is None and f"client {spec.service_client}" in report.created:
        client = await connection.find_client(spec.service_client)
        assert client is not None
        outcome.service_secret = str((await connection.admin.a_get_client_secrets(client["id"]))["value"])
    await kc.ensure_organization(connection, PLATFORM_TENANT, name="Platform", enabled=True)


async def _ensure_admin_account(connection: kc.Keycloak, outcome: ProvisionReport) -> str:
    """Creates the first platform admin's account, or leaves its password. Returns its `sub`."""
    if await kc.find_account(connection, outcome.username) is None:
        outcome.password = secrets.token_urlsafe(15)
        outcome.made.append(f"account {outcome.username}")
    account = Account(username=outcome.username, display_name="Platform administrator")
    return await kc.ensure_account(connection, PLATFORM_TENANT, account, password=outcome.password)


async def ensure_platform_admin(platform: PlatformSettings, sub: str) -> None:
    """Makes the login with this `sub` the platform admin in the directory."""
    schema = schema_name(identity.name)
    engine = create_engine(build_role_url(platform, identity.name), schema=schema, pool_size=1)
    try:
        sessions = Sessions(engine, identity.name, partitions=platform.partitions)
        async with sessions.begin([PLATFORM_TENANT], now=datetime.now(UTC)) as session:
            await ensure_platform(session, login=Login(iss=platform.login_issuer, sub=sub))
    finally:
        await engine.dispose()
