"""A small relying party that stands for a call-centre subsystem: Authlib for the flow, joserfc for the ID token."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.jwk import KeySet

from tests.sso.browser import PLAIN, Browser


@dataclass
class RelyingParty:
    issuer: str
    client_id: str
    redirect_uri: str
    client_secret: str | None = None
    scope: str = "openid profile"
    asks: Mapping[str, str] = field(default_factory=dict[str, str])
    """Further parameters of its authorization requests."""

    def __post_init__(self) -> None:
        found = httpx.get(f"{self.issuer}/.well-known/openid-configuration", verify=PLAIN, timeout=20)
        self.metadata: dict[str, Any] = found.raise_for_status().json()

    def _client(self) -> Any:  # Authlib does not type what it inherits from requests
        return OAuth2Session(
            self.client_id,
            self.client_secret,
            scope=self.scope,
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if self.client_secret else "none",
        )

    def sign_in(self, browser: Browser, **typed: str) -> dict[str, Any]:
        """The token response, with the checked claims of its ID token under `claims`."""
        verifier, nonce = generate_token(48), generate_token(16)
        with self._client() as client:
            return self._sign_in(client, browser, verifier, nonce, typed)

    def _sign_in(
        self, client: OAuth2Session, browser: Browser, verifier: str, nonce: str, typed: dict[str, str]
    ) -> dict[str, Any]:
        url, state = client.create_authorization_url(
            self.metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce, **self.asks
        )
        arrived = browser.open(url, until=self.redirect_uri, **typed)
        answer = parse_qs(urlsplit(arrived).query)
        assert "error" not in answer, answer
        assert answer["state"] == [state]
        tokens = client.fetch_token(
            self.metadata["token_endpoint"],
            authorization_response=arrived,
            code_verifier=verifier,
            state=state,
            timeout=20,
        )
        claims = self.checked(tokens["id_token"])
        assert claims["nonce"] == nonce
        return {**tokens, "claims": claims}

    def refused(self, browser: Browser) -> str:
        """What the sign-in page says to somebody who is signed in and may not come in here."""
        with self._client() as client:
            url, _ = client.create_authorization_url(
                self.metadata["authorization_endpoint"], code_verifier=generate_token(48), **self.asks
            )
        page = browser.http.get(url)
        while page.is_redirect:
            assert not page.headers["location"].startswith(self.redirect_uri), "it was let in"
            page = browser.http.get(page.headers["location"])
        return page.text

    def refresh(self, refresh_token: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, "client_id": self.client_id}
        if self.client_secret:
            form["client_secret"] = self.client_secret
        return httpx.post(self.metadata["token_endpoint"], data=form, verify=PLAIN, timeout=20)

    def sign_out(self, browser: Browser, id_token: str, *, target: str) -> None:
        query = {"client_id": self.client_id, "id_token_hint": id_token, "post_logout_redirect_uri": target}
        url = f"{self.metadata['end_session_endpoint']}?{httpx.QueryParams(query)}"
        assert browser.open(url, until=target).startswith(target)

    def checked(self, token: str) -> dict[str, Any]:
        """The claims of a token of the issuer for this client."""
        keys = httpx.get(self.metadata["jwks_uri"], verify=PLAIN, timeout=20).json()
        claims = jwt.decode(token, KeySet.import_key_set(keys), ["RS256"]).claims
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        assert claims["iss"] == self.issuer
        assert self.client_id in audience
        assert claims["iat"] - 60 < time.time() < claims["exp"] + 60
        return claims


class Listener:
    """Where a subsystem is told of something: keeps the forms that are posted to it."""

    def __init__(self) -> None:
        forms = self.forms = list[dict[str, str]]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                forms.append({name: values[0] for name, values in parse_qs(body).items()})
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Listener":
        self._thread = Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
