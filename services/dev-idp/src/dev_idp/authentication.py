"""Authenticates people by password and clients by secret, with a back-off against guessing.

Failures are counted per account and address, per account, and per address. The block per account is short, because a
stranger can cause it: the owner is locked out for seconds only. In a browser with a device cookie, in which the owner has
signed in before, it does not apply at all (see OWASP on device cookies). An attempt during a block is not checked and
does not extend it.
"""

from collections.abc import Mapping
from datetime import datetime

from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError, OAuth2Error
from authlib.oauth2.rfc6749.util import extract_basic_authorization
from fastapi import Request
from sqlalchemy import Row

from dev_idp import model, passwords, store
from dev_idp.provider import Provider

DEVICE_COOKIE = "uplift_oidc_device"
DEVICE_TYP = "device+jwt"


class TooManyAttempts(OAuth2Error):
    """429: the caller is blocked after failed attempts. `Retry-After` holds the seconds left."""

    error = "temporarily_unavailable"
    status_code = 429

    def __init__(self, until: datetime, now: datetime) -> None:
        self.seconds = max(1, int((until - now).total_seconds() + 0.999))
        super().__init__(f"Too many failed attempts. Try again in {self.seconds} s.")

    def get_headers(self) -> list[tuple[str, str]]:
        """The headers of the refusal, with `Retry-After` in seconds."""
        return [*super().get_headers(), ("Retry-After", str(self.seconds))]


async def sign_in(provider: Provider, request: Request, username: str, password: str) -> Row | None:
    """The active account with this password, or None. Raises TooManyAttempts, Busy."""
    name = username.strip().lower()
    async with provider.engine.connect() as connection:
        account = None if "\0" in name else await store.find_account_by_name(connection, name)
    keys = _person_keys(name, _address(request), await _device_of(provider, request, account))
    await _check_not_blocked(provider, keys)
    matches = await passwords.verify(password, account.password if account is not None else None)
    if account is None or not matches or not account.active:
        await _record_failures(provider, keys)
        return None
    async with provider.engine.begin() as connection:
        await store.clear_failures(connection, keys)
    return account


async def authenticate_client(provider: Provider, request: Request, form: dict[str, str]) -> Row:
    """The client, authenticated by Basic header or form; a public client by its id alone. Raises OAuth2Error."""
    try:
        client_id, secret = extract_basic_authorization({"Authorization": request.headers.get("Authorization", "")})
    except ValueError:
        raise InvalidClientError("The Authorization header cannot be read.", status_code=401) from None
    if client_id is None:
        client_id, secret = form.get("client_id", ""), form.get("client_secret")
    elif form.get("client_id", client_id) != client_id or "client_secret" in form:
        raise InvalidRequestError("The client is named in two ways.")
    async with provider.engine.connect() as connection:
        found = None if "\0" in client_id else await store.find_client(connection, client_id)
    if found is not None and found.secret is None and not secret:
        return found
    stored = found.secret if found is not None else None
    # A secret that was verified once is accepted until it is replaced, so that other people's guesses do not lock its owner out.
    proof = stored and secret and model.digest(f"{stored} {secret}")
    if found is None or not proof or proof not in provider.proven_secrets:
        keys = _client_keys(client_id, _address(request))
        await _check_not_blocked(provider, keys)
        if not await passwords.verify(secret or "", stored) or found is None:
            await _record_failures(provider, keys)
            raise InvalidClientError("The client is not known, or its secret is missing or wrong.", status_code=401)
        provider.proven_secrets.add(str(proof))
    return found


async def record_failure(provider: Provider, request: Request) -> None:
    """Counts a wrong one-time token against the caller's address."""
    await _record_failures(provider, _client_keys("one-time", _address(request)))


async def check_not_blocked(provider: Provider, request: Request) -> None:
    """Raises TooManyAttempts while the caller's address is blocked from trying one-time tokens."""
    await _check_not_blocked(provider, _client_keys("one-time", _address(request)))


async def _check_not_blocked(provider: Provider, keys: Mapping[str, model.ThrottlePolicy]) -> None:
    now = provider.clock()
    async with provider.engine.connect() as connection:
        until = await store.load_blocked_until(connection, keys)
    if until is not None and until > now:
        raise TooManyAttempts(until, now)


async def _record_failures(provider: Provider, keys: Mapping[str, model.ThrottlePolicy]) -> None:
    async with provider.engine.begin() as connection:
        await store.record_failures(connection, keys, provider.clock())


async def _device_of(provider: Provider, request: Request, account: Row | None) -> str | None:
    """The device cookie, if this account has signed in with it before."""
    cookie = request.cookies.get(DEVICE_COOKIE)
    claims = await provider.verify_jwt(cookie, DEVICE_TYP) if cookie and account is not None else None
    return cookie if claims is not None and account is not None and claims["sub"] == account.sub else None


def _person_keys(name: str, address: str, device: str | None) -> dict[str, model.ThrottlePolicy]:
    if device is not None:
        return {f"device {device}": model.ACCOUNT_THROTTLE}
    return {
        f"account {name} at {address}": model.ACCOUNT_THROTTLE,
        f"account {name}": model.ACCOUNT_GLOBAL_THROTTLE,
        f"people at {address}": model.ADDRESS_THROTTLE,
    }


def _client_keys(client_id: str, address: str) -> dict[str, model.ThrottlePolicy]:
    return {f"client {client_id} at {address}": model.ACCOUNT_THROTTLE, f"clients at {address}": model.ADDRESS_THROTTLE}


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
