"""The running whole, as its users meet it: a process tree and an HTTP client."""

import re
import signal
import ssl
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from testkit import wait_for
from testkit.programs import free_port

UPLIFT = Path(sys.executable).parent / "uplift"
PASSWORD = "a-test-password"
# It speaks plain HTTP: loading the machine's certificates for each call would take longer than the calls.
PLAIN = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class Suite(ABC):
    """A running Uplift of either shape: one address, and an HTTP client for its users."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The address that users know."""

    @abstractmethod
    def token(self, username: str) -> str: ...

    @abstractmethod
    def create_account(self, username: str, tenant: str) -> str:
        """Makes an account at the identity provider. Returns its `sub`."""

    @abstractmethod
    def lag(self) -> dict[str, dict[str, int]]:
        """What is under way, by service and topic."""

    def call(self, who: str, method: str, path: str, **arguments: Any) -> Any:
        """A call of the API by this user. Returns the JSON body; raises AssertionError on an error answer."""
        answer = self.request(who, method, path, **arguments)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json() if answer.content else None

    def request(self, who: str, method: str, path: str, **arguments: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token(who)}", **arguments.pop("headers", {})}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=120, verify=PLAIN, **arguments)

    def all_items(self, who: str, path: str, **params: Any) -> list[dict[str, Any]]:
        """Every page of a list."""
        found: list[dict[str, Any]] = []
        after = None
        at_once = {} if path.endswith("/interactions") else {"limit": 500}  # which come on one page
        while True:
            page = self.call(who, "GET", path, params={**params, **at_once} | ({"after": after} if after else {}))
            found += page["items"]
            after = page["next"]
            if after is None:
                return found

    def wait_until_idle(self, *, seconds: float = 120) -> None:
        """Waits until nothing is under way."""
        quiet = 0
        lag: dict[str, dict[str, int]] = {}

        def is_idle() -> bool:
            nonlocal quiet, lag
            try:
                lag = self.lag()
            except httpx.HTTPError as error:  # somebody is away: then something is under way
                lag = {"": {repr(error): 1}}
            quiet = quiet + 1 if not any(count for topics in lag.values() for count in topics.values()) else 0
            return quiet >= 2

        try:
            wait_for(is_idle, seconds=seconds, every=0.05)
        except AssertionError:
            raise AssertionError(f"still under way: {lag}") from None


@dataclass
class Embedded(Suite):
    """The embedded shape in a folder of its own, on a port of its own; every event is handed over twice."""

    data: Path
    port: int = field(default_factory=free_port)
    deliver_twice: bool = True
    allow_private_addresses: bool = False
    feature_flags_file: Path | None = None
    process: subprocess.Popen[str] | None = None
    output: str = ""
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    @property
    def log_file(self) -> Path:
        return self.data.parent / "uplift.log"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *options: str, seconds: float = 90) -> None:
        """Starts it and waits until it has printed its box."""
        environment = {
            "UPLIFT_DELIVER_TWICE": str(self.deliver_twice),
            "UPLIFT_ALLOW_PRIVATE_ADDRESSES": str(self.allow_private_addresses),
            "PYTHONUNBUFFERED": "1",
        }
        if self.feature_flags_file:
            environment["UPLIFT_FEATURE_FLAGS_FILE"] = str(self.feature_flags_file)
        self.log_file.touch()
        began = self.log_file.stat().st_size
        with self.log_file.open("a") as log:
            self.process = subprocess.Popen(
                [UPLIFT, "up", "--no-simulate", "--port", str(self.port), "--data", str(self.data), *options],
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                env={
                    "PATH": "/usr/bin:/bin:/usr/sbin:/sbin",
                    "HOME": str(self.data.parent),
                    "LANG": "C.UTF-8",
                    **environment,
                },
                start_new_session=True,
            )
        process = self.process

        def has_started_or_ended() -> bool:
            self.output = self._log_since(began)
            return "└" in self.output or process.poll() is not None

        with suppress(AssertionError):
            wait_for(has_started_or_ended, seconds=seconds, every=0.05)
        if "└" not in self.output:
            raise AssertionError(f"it did not start:\n{self.output[-4000:]}")

    def _log_since(self, began: int) -> str:
        with self.log_file.open() as log:
            log.seek(began)
            return log.read()

    def kill(self) -> None:
        """SIGKILL to the Python process; PostgreSQL goes with it or is found again."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise

    def set_platform_password(self) -> None:
        """Signs the first platform admin in with the printed one-time token."""
        found = re.search(r"--one-time (\S+)", self.output)
        assert found, self.output
        form = {
            "grant_type": "urn:uplift:grant:one-time",
            "client_id": "uplift-cli",
            "one_time_token": found[1],
            "new_password": PASSWORD,
        }
        httpx.post(f"{self.url}/oidc/token", data=form, timeout=20, verify=PLAIN).raise_for_status()

    def token(self, username: str) -> str:
        token, expires = self._tokens.get(username, ("", 0.0))
        if time.monotonic() > expires:
            form = {"grant_type": "password", "client_id": "uplift-cli", "username": username, "password": PASSWORD}
            answer = httpx.post(f"{self.url}/oidc/token", data=form, timeout=20, verify=PLAIN)
            assert answer.status_code == 200, answer.text
            token = str(answer.json()["access_token"])
            self._tokens[username] = (token, time.monotonic() + 200)
        return token

    def create_account(self, username: str, tenant: str) -> str:
        body = {"username": username, "password": PASSWORD, "tenant": tenant, "sub": username}
        answer = self.request("platform", "POST", "/oidc/accounts", json=body)
        assert answer.status_code in (200, 201, 409), answer.text
        return username

    def lag(self) -> dict[str, dict[str, int]]:
        return httpx.get(f"{self.url}/lag", timeout=30, verify=PLAIN).json()
