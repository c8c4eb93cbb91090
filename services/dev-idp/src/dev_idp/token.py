"""The token and revocation endpoints. One function per grant, inside the transaction of its request."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import partial

from authlib.oauth2.rfc6749.errors import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
    OAuth2Error,
    UnauthorizedClientError,
    UnsupportedGrantTypeError,
    UnsupportedTokenTypeError,
)
from contracts.ids import new_id
from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from dev_idp import model, passwords, store
from dev_idp.authentication import authenticate_client, check_not_blocked, record_failure, sign_in
from dev_idp.logout import notify_clients
from dev_idp.provider import Provider, read_parameters

NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}
DEFAULT_SCOPE = " ".join(model.SCOPES)

Grant = Callable[[Provider, AsyncConnection, Row, dict[str, str]], Awaitable[dict[str, object]]]


def token_endpoints(provider: Provider) -> APIRouter:  # noqa: C901  a router: many small handlers
    """The router of the token and revocation endpoints."""
    router = APIRouter(tags=["tokens"])

    @router.post("/token")
    async def token(request: Request) -> JSONResponse:
        """A token for a code, a refresh token, a client, a password (uplift-cli only) or a one-time token."""
        form = await read_parameters(request)
        if form.get("grant_type") not in model.GRANTS:
            raise UnsupportedGrantTypeError(None)
        client = await authenticate_client(provider, request, form)
        if form["grant_type"] not in client.grants:
            raise UnauthorizedClientError("The client is not registered for this grant.")
        grant = await _prepare_grant(provider, request, form)
        async with provider.engine.begin() as connection:
            # A refusal may have marked a code as used or revoked a family. That must be committed, so it is raised afterwards.
            try:
                answer = await grant(provider, connection, client, form)
            except OAuth2Error as error:
                answer = error
        if isinstance(answer, UnknownToken):
            await record_failure(provider, request)
        if isinstance(answer, Replayed):
            await notify_clients(provider, answer.ended)
        if isinstance(answer, OAuth2Error):
            raise answer
        return JSONResponse(answer, headers=NOT_STORED)

    @router.post("/revoke")
    async def revoke(request: Request) -> Response:
        """Revoke a refresh token and all others of its family (RFC 7009). Access tokens cannot be revoked; they expire."""
        form = await read_parameters(request)
        client = await authenticate_client(provider, request, form)
        async with provider.engine.begin() as connection:
            token = _required(form, "token")
            found = await store.find_refresh(connection, token)
            if found is not None:
                if found.client_id != client.client_id:
                    raise InvalidGrantError("The token was issued to another client.")
                await store.revoke_family(connection, found.family)
            elif await provider.verify_jwt(token, "at+jwt"):
                raise UnsupportedTokenTypeError("An access token cannot be revoked; it expires within minutes.")
        return Response(headers=NOT_STORED)

    return router


async def _prepare_grant(provider: Provider, request: Request, form: dict[str, str]) -> Grant:
    """The function for the form's grant. Passwords are verified and hashed here, because a transaction would stay open for
    that time."""
    match form["grant_type"]:
        case "password":
            return partial(_redeem_password, await _account_of(provider, request, form))
        case model.ONE_TIME:
            await check_not_blocked(provider, request)
            return partial(_redeem_one_time, await _new_password(form))
        case name:
            return _GRANTS[name]


async def _authorization_code(
    provider: Provider, connection: AsyncConnection, client: Row, form: dict[str, str]
) -> dict[str, object]:
    code = _required(form, "code")
    found = await store.find_code(connection, code)
    if found is None or found.client_id != client.client_id:
        raise InvalidGrantError("The code is not known.")
    if found.used:
        raise await _replayed(connection, found, "The code was used before; what it gave is revoked.")
    await store.mark_code_used(connection, code, provider.clock() + model.REFRESH_TTL)
    if found.expires_at <= provider.clock():
        raise InvalidGrantError("The code has expired.")
    if form.get("redirect_uri") != found.redirect_uri:
        raise InvalidGrantError("The redirect_uri is not the one the code was issued for.")
    verifier = form.get("code_verifier")
    if (verifier is None) != (found.code_challenge is None):
        raise InvalidGrantError("A code_verifier belongs to a code_challenge, and the other way round.")
    if verifier is not None and not model.verifier_matches(verifier, found.code_challenge):
        raise InvalidGrantError("The code_verifier does not fit the code_challenge.")
    account = await _require_active_account(connection, found.sub)
    return await _issue(provider, connection, client, account, _session(found), nonce=found.nonce)


class Replayed(InvalidGrantError):
    """A code was used twice, so it was stolen: its family is revoked and its session has ended (RFC 6749 §4.1.2)."""

    ended: Sequence[store.EndedSession] = ()


async def _replayed(connection: AsyncConnection, found: Row, description: str) -> Replayed:
    replayed = Replayed(description)
    await store.revoke_family(connection, found.family)
    replayed.ended = await store.end_login(connection, found.sid) if found.sid else ()
    return replayed


async def _refresh_token(
    provider: Provider, connection: AsyncConnection, client: Row, form: dict[str, str]
) -> dict[str, object]:
    token = _required(form, "refresh_token")
    found = await store.find_refresh(connection, token)
    if found is None or found.client_id != client.client_id:
        raise InvalidGrantError("The refresh token is not known.")
    if found.used:
        await store.revoke_family(connection, found.family)
        raise InvalidGrantError("The refresh token was used before; its whole family is revoked.")
    if found.expires_at <= provider.clock():
        raise InvalidGrantError("The refresh token has expired.")
    scope = form.get("scope") or str(found.scope)
    if not set(scope.split()) <= set(found.scope.split()):
        raise InvalidScopeError("The scope is wider than the one granted first.")
    account = await _require_active_account(connection, found.sub)
    await store.mark_refresh_used(connection, token)
    return await _issue(provider, connection, client, account, _session(found), scope=scope)


async def _client_credentials(
    provider: Provider, connection: AsyncConnection, client: Row, form: dict[str, str]
) -> dict[str, object]:
    # This provider's scopes concern people; the directory says what a machine may do.
    sub = model.machine_sub(client.client_id)
    token = await provider.issue_access_token(client.client_id, sub, [client.tenant], "", audience=model.AUDIENCE)
    return _answer(provider, token, scope="")


async def _account_of(provider: Provider, request: Request, form: dict[str, str]) -> Row:
    account = await sign_in(provider, request, _required(form, "username"), _required(form, "password"))
    if account is None:
        raise InvalidGrantError("The username or the password is wrong, or the account is switched off.")
    if account.temporary:
        raise InvalidGrantError("The password is temporary. Sign in with a browser, and choose another.")
    return account


async def _redeem_password(
    account: Row, provider: Provider, connection: AsyncConnection, client: Row, form: dict[str, str]
) -> dict[str, object]:
    return await _issue(provider, connection, client, account, _create_direct_session(provider, client, account, form))


class UnknownToken(InvalidGrantError):
    """The one-time token is unknown: counted as a guess."""


async def _new_password(form: dict[str, str]) -> str | None:
    """The hash of the password chosen with a one-time token; None when none is chosen. Raises OAuth2Error."""
    _required(form, "one_time_token")
    password = form.get("new_password")
    if password is None:
        return None
    if not model.MIN_PASSWORD <= len(password) <= model.MAX_PASSWORD:
        raise InvalidRequestError(f"A password has {model.MIN_PASSWORD} to {model.MAX_PASSWORD} characters.")
    return await passwords.compute_hash(password)


async def _redeem_one_time(
    password: str | None, provider: Provider, connection: AsyncConnection, client: Row, form: dict[str, str]
) -> dict[str, object]:
    account = await store.redeem_one_time_token(connection, form["one_time_token"])
    if account is None:
        raise UnknownToken("The one-time token is not known, was used before, or its account is switched off.")
    if password is not None:
        await store.change_account(connection, account.username, password=password, temporary=False)
        await store.end_sessions_of_account(connection, account.sub)
    return await _issue(provider, connection, client, account, _create_direct_session(provider, client, account, form))


_GRANTS: dict[str, Grant] = {
    "authorization_code": _authorization_code,
    "refresh_token": _refresh_token,
    "client_credentials": _client_credentials,
}


async def _issue(
    provider: Provider,
    connection: AsyncConnection,
    client: Row,
    account: Row,
    session: model.TokenSession,
    *,
    scope: str | None = None,
    nonce: str | None = None,
) -> dict[str, object]:
    """The token response. `scope` narrows this access token; the next refresh token keeps the session's scope."""
    scope = session.scope if scope is None else scope
    # A tenant's client is an application of that tenant. The audience of its tokens is itself, so that services refuse them.
    tenants = (
        [client.tenant]
        if client.tenant
        else model.select_tenants(await store.list_tenants(connection, account.sub), scope)
    )
    audience = client.client_id if client.tenant else model.AUDIENCE
    access_token = await provider.issue_access_token(
        client.client_id, account.sub, tenants, scope, audience=audience, sid=session.sid
    )
    answer = _answer(provider, access_token, scope)
    now = provider.clock()
    await store.purge(connection, now)
    if "refresh_token" in client.grants:
        answer["refresh_token"] = model.new_secret()
        answer["refresh_expires_in"] = int(model.REFRESH_TTL.total_seconds())
        expires_at = now + model.REFRESH_TTL
        await store.add_refresh(connection, answer["refresh_token"], expires_at=expires_at, **asdict(session))
    if "openid" in scope.split():
        answer["id_token"] = await provider.issue_id_token(session, account, tenants, access_token, nonce)
    return answer


def _answer(provider: Provider, access_token: str, scope: str) -> dict[str, object]:
    expires_in = int(provider.access_ttl.total_seconds())
    return {"access_token": access_token, "token_type": "Bearer", "expires_in": expires_in, "scope": scope}


def _session(row: Row) -> model.TokenSession:
    return model.TokenSession(row.client_id, row.family, row.sid, row.sub, row.scope, row.auth_time)


def _create_direct_session(provider: Provider, client: Row, account: Row, form: dict[str, str]) -> model.TokenSession:
    scope = model.grant_scope(form.get("scope", DEFAULT_SCOPE))
    family = str(new_id())
    return model.TokenSession(client.client_id, family, family, account.sub, scope, provider.clock())


async def _require_active_account(connection: AsyncConnection, sub: str) -> Row:
    account = await store.find_active_account(connection, sub)
    if account is None:
        raise InvalidGrantError("The account is switched off.")
    return account


def _required(form: dict[str, str], name: str) -> str:
    if name not in form:
        raise InvalidRequestError(f"The parameter {name} is missing.")
    return form[name]
