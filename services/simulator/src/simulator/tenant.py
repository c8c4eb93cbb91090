"""Calls the API over HTTP as the tenant's phone system and people do, each with its own token."""

import asyncio
import gzip
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import httpx

log = logging.getLogger("uplift.simulation")

PERSON_CLIENT = "uplift-cli"
FIRST_DAY_ATTRIBUTE = "connected_since"  # attribute of the phone system's client: the first day it delivers
_RENEW_BEFORE_SECONDS = 60


class SimulationFailed(Exception):
    """The API refused a call, or the services make no progress. The message says which call and why."""


@dataclass(frozen=True)
class Access:
    """Addresses and credentials. `client` has the base URL of the installation; `administrator` is the login that moves the
    clock and lists everybody's assignments; `password` is that of every simulated account."""

    client: httpx.AsyncClient
    tenant: str
    client_id: str
    client_secret: str
    password: str
    administrator: str = "admin"
    token_path: str = "/oidc/token"  # noqa: S105
    lag_urls: Sequence[str] = ("/lag",)
    """The URLs at which the processes that consume events report how much waits."""
    source: str = "amazon-connect"


@dataclass
class TenantClient:
    """The calls that the simulation makes. It requests tokens when they are needed, and new ones before they expire.
    `poll_seconds` is the shortest time between two requests of `wait_until_idle`."""

    access: Access
    poll_seconds: float = 0.05
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)
    _contents: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)

    async def load_first_day(self) -> date:
        """The first day the phone system delivers. Raises SimulationFailed when its client has no such
        attribute."""
        me = await self._json("GET", "/api/identity/v1/me", as_login=None)
        for attribute in me["person"]["attributes"]:
            if attribute["name"] == FIRST_DAY_ATTRIBUTE:
                return date.fromisoformat(attribute["value"])
        raise SimulationFailed(f"the client {self.access.client_id} has no attribute {FIRST_DAY_ATTRIBUTE}")

    async def load_clock(self) -> datetime:
        """The tenant's own time. Raises SimulationFailed when the tenant is not simulated."""
        tenant = await self._json("GET", self._own_path)
        if not tenant.get("simulated") or not tenant.get("clock"):
            raise SimulationFailed(f"the tenant {self.access.tenant} is not simulated")
        return datetime.fromisoformat(tenant["clock"])

    async def move_clock(self, now: datetime) -> None:
        """Sets the tenant's clock. Raises SimulationFailed when the API refuses."""
        await self._json("POST", f"{self._own_path}/clock", json={"now": now.isoformat()})

    async def send(self, records: Sequence[bytes]) -> dict[str, Any]:
        """Posts lines of NDJSON as one file. Returns the receipt."""
        body = await asyncio.to_thread(gzip.compress, b"".join(records), 1, mtime=0)
        receipt = await self._json(
            "POST",
            f"/api/ingest/v1/sources/{self.access.source}/records",
            as_login=None,
            content=body,
            headers={"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"},
        )
        if receipt.get("rejected"):
            log.warning("receipt %s: %s simulated records were rejected", receipt.get("id"), receipt["rejected"])
        return receipt

    async def wait_until_idle(self, timeout: float = 120) -> None:
        """Returns when two requests in a row found no waiting message in any service. Raises SimulationFailed with the waiting
        messages after `timeout` seconds without progress."""
        idle_polls, fewest = 0, None
        since = time.monotonic()
        while idle_polls < 2:
            waiting = await self._waiting()
            left = sum(count for counts in waiting.values() for count in counts.values())
            idle_polls = idle_polls + 1 if left == 0 else 0
            if fewest is None or left < fewest:
                fewest, since = left, time.monotonic()
            if time.monotonic() - since > timeout:
                stuck = {service: counts for service, counts in waiting.items() if any(counts.values())}
                raise SimulationFailed(f"the services do not get further: {stuck}")
            if idle_polls < 2:
                # Polling takes CPU time from the services, so it is slower while much waits.
                await asyncio.sleep(self.poll_seconds * min(1 + left / 100, 6))

    async def _waiting(self) -> dict[str, dict[str, int]]:
        waiting: dict[str, dict[str, int]] = {}
        for url in self.access.lag_urls:
            waiting |= await self._json("GET", url)
        return waiting

    async def list_assignments(self, status: str) -> list[dict[str, Any]]:
        """All assignments of the tenant in a status, newest first."""
        assignments: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            params = {"status": status, "limit": "1000"} | ({"after": after} if after else {})
            page = await self._json("GET", "/api/training/v1/assignments", params=params)
            assignments += page["items"]
            after = page["next"]
            if after is None:
                return assignments

    async def load_content(self, template: str, version: int) -> dict[str, Any]:
        """The content of a published version, with the correct answers. It is cached, because it never changes."""
        key = (template, version)
        if key not in self._contents:
            path = f"/api/training/v1/templates/{template}/versions/{version}"
            self._contents[key] = (await self._json("GET", path))["content"]
        return self._contents[key]

    async def start(self, login: str, assignment: str) -> dict[str, Any] | None:
        """Starts the assignment as the person; None when it was withdrawn meanwhile."""
        return await self._post_as(login, f"/api/training/v1/assignments/{assignment}/start", {})

    async def complete(self, login: str, assignment: str, answers: Mapping[str, list[str]]) -> dict[str, Any] | None:
        """Submits the person's answers; None when the assignment was withdrawn meanwhile."""
        return await self._post_as(login, f"/api/training/v1/assignments/{assignment}/complete", {"answers": answers})

    async def _post_as(self, login: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        response = await self._request("POST", path, login, json=body)
        if response.status_code in (404, 409):
            return None
        return _checked(response).json()

    @property
    def _own_path(self) -> str:
        return f"/api/identity/v1/tenants/{self.access.tenant}"

    async def _json(self, method: str, path: str, *, as_login: str | None = "", **request: Any) -> dict[str, Any]:
        """A call as the person `as_login`; None is the phone system, empty is the administrator. Raises SimulationFailed."""
        login = self.access.administrator if as_login == "" else as_login
        return _checked(await self._request(method, path, login, **request)).json()

    async def _request(self, method: str, path: str, login: str | None, **request: Any) -> httpx.Response:
        headers = request.pop("headers", {})
        attempt = 0
        while True:
            token = await self._token(login)
            response = await self.access.client.request(
                method, path, headers={**headers, "Authorization": f"Bearer {token}"}, **request
            )
            if attempt == 4 or response.status_code not in (401, 429, 503):
                return response
            if response.status_code == 401:
                self._tokens.pop(login or "", None)
            else:
                await asyncio.sleep(min(float(response.headers.get("Retry-After", 2**attempt)), 30))
            attempt += 1

    async def _token(self, login: str | None) -> str:
        token, until = self._tokens.get(login or "", ("", 0.0))
        if until > time.monotonic():
            return token
        access = self.access
        form = (
            {"grant_type": "client_credentials", "client_id": access.client_id, "client_secret": access.client_secret}
            if login is None
            else {
                "grant_type": "password",
                "client_id": PERSON_CLIENT,
                "scope": "organization",
                "username": login,
                "password": access.password,
            }
        )
        answer = _checked(await access.client.post(access.token_path, data=form)).json()
        until = time.monotonic() + answer.get("expires_in", 0) - _RENEW_BEFORE_SECONDS
        self._tokens[login or ""] = (answer["access_token"], until)
        return answer["access_token"]


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    request = response.request
    raise SimulationFailed(
        f"{request.method} {request.url.path} answered {response.status_code}: {response.text[:500]}"
    )
