"""Parses and validates authorization requests, before anybody has signed in."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

from authlib.oauth2.rfc6749.errors import (
    InvalidRequestError,
    OAuth2Error,
    UnauthorizedClientError,
    UnsupportedResponseTypeError,
)
from sqlalchemy import Row

from dev_idp import model, store
from dev_idp.provider import Provider


@dataclass(frozen=True)
class AuthorizationRequest:
    """An authorization request whose client, redirect URI and PKCE challenge are valid."""

    client: Row
    redirect_uri: str
    scope: str
    state: str | None
    nonce: str | None
    challenge: str | None
    prompt: frozenset[str]
    max_age: int | None

    def is_satisfied_by(self, login: Row, now_seconds: float) -> bool:
        """Whether the browser's session is enough for the request, so that the person need not sign in again."""
        if self.prompt & {"login", "select_account"}:
            return False
        return self.max_age is None or now_seconds - login.auth_time.timestamp() <= self.max_age


async def parse_authorization_request(provider: Provider, query: dict[str, str]) -> AuthorizationRequest:  # noqa: C901  a list of checks, in the order of their errors
    """The request in `query`. Raises OAuth2Error; its `redirect_uri` is set once it is safe to redirect to the client."""
    async with provider.engine.connect() as connection:
        client_id = query.get("client_id", "")
        client = None if "\0" in client_id else await store.find_client(connection, client_id)
    if client is None:
        raise InvalidRequestError("The client is not known.")
    redirect_uri = query.get("redirect_uri", "")
    if redirect_uri not in resolve_uris(provider, client.redirect_uris):
        raise InvalidRequestError("The redirect_uri is not registered for this client.")
    state, challenge = query.get("state"), query.get("code_challenge")
    prompt = frozenset(query.get("prompt", "").split())
    max_age = query.get("max_age")

    error: OAuth2Error | None = None
    if query.get("response_type") != "code":
        error = UnsupportedResponseTypeError("The only response_type is code.")
    elif query.get("response_mode", "query") != "query":
        error = InvalidRequestError("The only response_mode is query.")
    elif "authorization_code" not in client.grants:
        error = UnauthorizedClientError("The client is not registered for the code flow.")
    elif any("\0" in value for value in query.values()):
        error = InvalidRequestError("A parameter is not plain text.")
    elif challenge is None and client.secret is None:
        error = InvalidRequestError("A public client must send a code_challenge (S256).")
    elif challenge is None and "nonce" not in query:
        error = InvalidRequestError("A code_challenge (S256) or a nonce is needed: else a code could be injected.")
    elif challenge is not None and not model.challenge_is_s256(challenge, query.get("code_challenge_method", "plain")):
        error = InvalidRequestError("The code_challenge must be S256.")
    elif "none" in prompt and len(prompt) > 1:
        error = InvalidRequestError("The prompt none stands alone.")
    elif max_age is not None and not (max_age.isascii() and max_age.isdigit() and len(max_age) < 10):
        error = InvalidRequestError("max_age is a number of seconds.")
    if error is not None:
        error.redirect_uri, error.state = redirect_uri, state
        raise error
    return AuthorizationRequest(
        client=client,
        redirect_uri=redirect_uri,
        scope=model.grant_scope(query.get("scope", "")),
        state=state,
        nonce=query.get("nonce"),
        challenge=challenge,
        prompt=prompt,
        max_age=int(max_age) if max_age is not None else None,
    )


def resolve_uris(provider: Provider, uris: Sequence[str]) -> list[str]:
    """The registered URIs as absolute addresses: relative ones belong to the issuer's origin."""
    return [urljoin(provider.issuer, uri) for uri in uris]
