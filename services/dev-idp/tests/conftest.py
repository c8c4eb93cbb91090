"""A PostgreSQL of its own, a provider in front of it, and a browser that stays on this machine."""

import html
import os
import re
import signal
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import dev_idp
import httpx
import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from dev_idp import store
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy import select
from storage import create_engine, ensure_schema, migrate
from storage.embedded import EmbeddedPostgres
from testkit import wait_for

ORIGIN = "http://127.0.0.1:8080"
ISSUER = f"{ORIGIN}/oidc"
CALLBACK = "http://127.0.0.1:8080/callback"
VERIFIER = "v" * 64


class Postgres:
    """A server of its own, which tests kill and start again."""

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedPostgres(folder / "data", durable=False)
        self._server.start()
        self.url = self._server.url()

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        assert self._server.pid is not None
        os.kill(self._server.pid, signal.SIGKILL)
        wait_for(lambda: self._server.pid is None)

    def close(self) -> None:
        self._server.stop()


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **duration: float) -> None:
        self.now += timedelta(**duration)


class Browser(httpx.AsyncClient):
    """Keeps cookies and never follows a redirect by itself."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(transport=httpx.ASGITransport(app), base_url=ORIGIN)

    async def authorize(self, client_id: str | None = "portal", **changes: str | None) -> httpx.Response:
        asked = {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": CALLBACK,
            "scope": "openid profile",
            "state": "s-1",
            "nonce": "n-1",
            "code_challenge": create_s256_code_challenge(VERIFIER),
            "code_challenge_method": "S256",
        } | changes
        asked = {name: value for name, value in asked.items() if value is not None}
        return await self.get("/oidc/authorize", params=asked)

    async def submit(
        self, page: httpx.Response, headers: dict[str, str] | None = None, **fields: str
    ) -> httpx.Response:
        """Send the only form of a page, hidden fields included."""
        found = re.search(r'action="([^"]+)"', page.text)
        assert found, page.text
        action = html.unescape(found[1])
        hidden = dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]+)"', page.text))
        return await self.post(page.url.join(action), data=hidden | fields, headers=headers)

    async def log_in(
        self, username: str = "lead", password: str = "lead-secret", **changes: str | None
    ) -> dict[str, str]:
        """From the authorization request to the parameters that come back to the client."""
        page = await self.authorize(**changes)
        assert page.status_code == 200, page.text
        return returned(await self.submit(page, username=username, password=password))

    async def token(self, grant_type: str, auth: tuple[str, str] | None = None, **form: str) -> httpx.Response:
        return await self._redeem({"grant_type": grant_type, **form}, auth)

    async def _redeem(self, form: dict[str, str], auth: tuple[str, str] | None = None) -> httpx.Response:
        return await self.post("/oidc/token", data=form, auth=auth or httpx.USE_CLIENT_DEFAULT)

    async def redeem(self, code: str, client_id: str = "portal", **changes: str) -> httpx.Response:
        form = {"client_id": client_id, "redirect_uri": CALLBACK, "code_verifier": VERIFIER, "code": code} | changes
        return await self._redeem({"grant_type": "authorization_code", **form})

    async def tokens(self, **changes: str) -> dict:
        """Log in as the team lead and redeem the code."""
        answer = await self.redeem((await self.log_in(**changes))["code"])
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refresh(self, refresh_token: str, client_id: str = "portal", **changes: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": refresh_token}
        return await self._redeem(form | changes)

    async def password(self, username: str = "lead", password: str = "lead-secret", **changes: str) -> httpx.Response:
        form = {"grant_type": "password", "client_id": "uplift-cli", "username": username, "password": password}
        return await self._redeem(form | changes)

    async def decode(self, token: str) -> jwt.Token:
        """What a service sees that trusts the published keys only."""
        keys = KeySet.import_key_set((await self.get("/oidc/jwks")).json())
        return jwt.decode(token, keys, ["RS256"])


def returned(response: httpx.Response) -> dict[str, str]:
    """The parameters a redirect brings back to the client."""
    assert response.status_code == 303, response.text
    location = response.headers["location"]
    assert location.startswith(f"{CALLBACK}?"), location
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


@pytest.fixture(scope="session")
def oidc_postgres():
    with tempfile.TemporaryDirectory(prefix="uplift-oidc-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        ensure_schema(server.url, "oidc", role="oidc")
        migrate(server.url, dev_idp.MIGRATIONS)
        yield server
        server.close()


@pytest.fixture
async def engine(oidc_postgres):
    engine = create_engine(oidc_postgres.url, schema="oidc")
    await dev_idp.ensure_seed_rows(engine)
    yield engine
    async with engine.begin() as connection:
        for table in store.metadata.sorted_tables:
            if table is not store.signing_key:
                await connection.execute(table.delete())
    await engine.dispose()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(scope="session")
def seeds():
    return {}


@pytest.fixture
async def seed(engine, seeds):
    """Rows of three accounts and three clients; made once, because hashing their passwords is slow on purpose."""
    if seeds:
        return seeds
    await dev_idp.ensure_account(
        engine, "lead", "lead-secret", "demo", sub="lead-1", display_name="Lena <Lead>", listed=True
    )
    await dev_idp.ensure_account(engine, "admin", "admin-secret", "platform", admin=True)
    await dev_idp.ensure_account(engine, "first", None, "platform", admin=True)
    code = ["authorization_code", "refresh_token"]
    heard = "/api/identity/v1/back-channel-logout"
    await dev_idp.ensure_client(engine, "portal", None, [CALLBACK], None, code, backchannel_logout_uri=heard)
    await dev_idp.ensure_client(engine, "wallboard", "wall-secret", [CALLBACK], None, code)
    await dev_idp.ensure_client(engine, "switch", "switch-secret", [], "demo", ["client_credentials"])
    async with engine.connect() as connection:
        for table in (store.account, store.client):
            seeds[table] = [dict(row) for row in (await connection.execute(select(table))).mappings()]
    return seeds


@pytest.fixture
async def app(engine, seed, clock):
    """The provider mounted as in the embedded shape, with three accounts and three clients."""
    async with engine.begin() as connection:
        for table, rows in seed.items():
            await connection.execute(table.delete())
            await connection.execute(table.insert(), rows)
    outer = FastAPI()
    outer.state.told = []

    async def deliver(url: str, logout_token: str, *, tenant: str | None) -> None:
        outer.state.told.append((url, logout_token))

    outer.mount("/oidc", dev_idp.create_provider(engine, ISSUER, clock=clock, demo=True, deliver=deliver))
    return outer


@pytest.fixture
async def browser(app):
    async with Browser(app) as client:
        yield client


@pytest.fixture
async def other_browser(app):
    async with Browser(app) as client:
        yield client
