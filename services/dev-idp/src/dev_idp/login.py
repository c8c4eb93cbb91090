"""The browser's endpoints: authorization, sign-in with one session for all clients, sign-out."""

import hmac
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc6749.errors import (
    InvalidRequestError,
    OAuth2Error,
)
from authlib.oidc.core.errors import LoginRequiredError
from contracts.ids import new_id
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from dev_idp import model, pages, passwords, store
from dev_idp.authentication import DEVICE_COOKIE, DEVICE_TYP, TooManyAttempts, sign_in
from dev_idp.authorization_request import AuthorizationRequest, parse_authorization_request, resolve_uris
from dev_idp.logout import notify_clients
from dev_idp.passwords import Busy
from dev_idp.provider import Provider, read_parameters

SESSION_COOKIE = "uplift_oidc_session"
FORM_COOKIE = "uplift_oidc_form"
FORM_TYP = "form+jwt"


def create_login_router(provider: Provider) -> APIRouter:  # noqa: C901, PLR0915  a router: many small handlers
    """The router for the browser: authorization, sign-in, a new password, sign-out."""
    router = APIRouter(tags=["browser"])

    @router.get("/authorize")
    async def authorize(request: Request) -> Response:
        """Start of the code flow: redirects to the client with a code, or shows the sign-in page first."""
        try:
            authorization = await parse_authorization_request(provider, await read_parameters(request))
        except OAuth2Error as error:
            return _respond_refused(provider, error)
        login = await _find_login(provider, request)
        if login is not None and authorization.is_satisfied_by(login, provider.clock().timestamp()):
            return await _send_code(provider, authorization, login)
        if "none" in authorization.prompt:
            error = LoginRequiredError(redirect_uri=authorization.redirect_uri, state=authorization.state)
            return _respond_refused(provider, error)
        return await _login_form(provider, request)

    @router.post("/login")
    async def login(request: Request) -> Response:
        """The sign-in form: opens a session and continues the authorization request in the query."""
        try:
            authorization = await parse_authorization_request(provider, dict(request.query_params))
            form = await read_parameters(request)
        except OAuth2Error as error:
            return _respond_refused(provider, error)
        username, password = form.get("username", ""), form.get("password", "")
        if not await _verify_form(provider, request, form):
            return await _login_form(
                provider, request, username, "This page was too old or not ours. Please try again."
            )
        try:
            account = await sign_in(provider, request, username, password)
        except (TooManyAttempts, Busy) as error:
            refused = await _login_form(provider, request, username, error.description)
            refused.status_code = error.status_code
            refused.headers.update(dict(error.get_headers()[-1:]))
            return refused
        if account is None:
            return await _login_form(provider, request, username, "The username or the password is wrong.")
        if account.temporary:
            return await _password_form(provider, request, account.sub, model.digest(account.password))
        return await _start_session(provider, request, authorization, account)

    @router.post("/new-password")
    async def new_password(request: Request) -> Response:
        """The form after a temporary password: stores the new password, and continues as the sign-in form does."""
        try:
            authorization = await parse_authorization_request(provider, dict(request.query_params))
            form = await read_parameters(request)
        except OAuth2Error as error:
            return _respond_refused(provider, error)
        seal = await _verify_form(provider, request, form)
        if seal is None or "sub" not in seal:
            return await _login_form(provider, request, error="This page was too old or not ours. Please try again.")
        sub, proof = seal["sub"], seal["proof"]
        password = form.get("password-new", "")
        if not model.MIN_PASSWORD <= len(password) <= model.MAX_PASSWORD:
            error = f"A password has {model.MIN_PASSWORD} to {model.MAX_PASSWORD} characters."
            return await _password_form(provider, request, sub, proof, error)
        if password != form.get("password-confirm"):
            return await _password_form(provider, request, sub, proof, "The two are not the same.")
        hashed = await passwords.compute_hash(password)
        async with provider.engine.begin() as connection:
            account = await store.replace_temporary(connection, sub, proof, hashed)
        if account is None:
            return await _login_form(provider, request, error="That password is good no more. Please sign in.")
        return await _start_session(provider, request, authorization, account)

    @router.get("/logout")
    async def logout(request: Request) -> Response:
        """RP-initiated logout. Unless `id_token_hint` names the browser's session, the person is asked first."""
        try:
            parameters = await read_parameters(request)
            hint, target = await _logout_target(provider, parameters)
        except OAuth2Error as error:
            return _respond_refused(provider, error)
        login = await _find_login(provider, request)
        if login is not None and (hint is None or hint.get("sid") != login.sid):
            return await _with_form_cookie(
                provider, request, lambda seal: pages.logout_page(urlencode(parameters), seal)
            )
        return await _end_session(provider, hint.get("sid") if hint else None, target)

    @router.post("/logout")
    async def confirm_logout(request: Request) -> Response:
        """The form in which a person confirms signing out; also RP-initiated logout by POST, after which the person is asked."""
        try:
            form = await read_parameters(request)
            parameters = dict(request.query_params) if "seal" in form else form
            _, target = await _logout_target(provider, parameters)
        except OAuth2Error as error:
            return _respond_refused(provider, error)
        if not await _verify_form(provider, request, form):
            return RedirectResponse(f"{provider.issuer}/logout?{urlencode(parameters)}", 303)
        login = await _find_login(provider, request)
        return await _end_session(provider, login.sid if login is not None else None, target)

    return router


def _respond_refused(provider: Provider, error: OAuth2Error) -> Response:
    if not error.redirect_uri:
        return pages.refusal_page(error.description or error.error or "invalid_request")
    parameters = [(name, value or "") for name, value in error.get_body()]
    return RedirectResponse(add_params_to_uri(error.redirect_uri, [*parameters, ("iss", provider.issuer)]), 303)


async def _start_session(
    provider: Provider, request: Request, authorization: AuthorizationRequest, account: Row
) -> Response:
    """Opens a session and continues the authorization request."""
    async with provider.engine.begin() as connection:
        opened, cookie, ended = await _open_session(provider, connection, request, account)
    await notify_clients(provider, ended)
    response = await _send_code(provider, authorization, opened)
    _set_cookie(provider, response, SESSION_COOKIE, cookie)
    device = await provider.issue_jwt(DEVICE_TYP, {"sub": account.sub, "jti": str(new_id())}, model.DEVICE_TTL)
    _set_cookie(provider, response, DEVICE_COOKIE, device, max_age=model.DEVICE_TTL)
    response.delete_cookie(FORM_COOKIE, path=_path(provider))
    return response


async def _send_code(provider: Provider, authorization: AuthorizationRequest, login: Row) -> Response:
    """Redirects to the client with a code. Refuses an account that is no member of the client's tenant."""
    code = model.new_secret()
    async with provider.engine.begin() as connection:
        tenant = authorization.client.tenant
        if tenant and tenant not in await store.list_tenants(connection, login.sub):
            return pages.refusal_page("This application belongs to another organization.", status=403)
        await store.add_code(
            connection,
            code,
            client_id=authorization.client.client_id,
            redirect_uri=authorization.redirect_uri,
            code_challenge=authorization.challenge,
            nonce=authorization.nonce,
            family=str(new_id()),
            sid=login.sid,
            sub=login.sub,
            scope=authorization.scope,
            auth_time=login.auth_time,
            expires_at=provider.clock() + model.CODE_TTL,
        )
        await store.record_session_client(connection, login.sid, authorization.client.client_id)
    state = [("state", authorization.state)] if authorization.state else []
    parameters = [("code", code), *state, ("iss", provider.issuer)]
    headers = {"Cache-Control": "no-store"}
    return RedirectResponse(add_params_to_uri(authorization.redirect_uri, parameters), 303, headers=headers)


async def _open_session(
    provider: Provider, connection: AsyncConnection, request: Request, account: Row
) -> tuple[Row, str, list[store.EndedSession]]:
    """Opens or renews the browser's session. Returns it, its cookie, and the clients to notify of a session that it replaces.
    The cookie is always new, against session fixation."""
    now, cookie = provider.clock(), model.new_secret()
    times = {"auth_time": now, "expires_at": now + model.LOGIN_TTL}
    old = await store.find_login(connection, request.cookies.get(SESSION_COOKIE, ""), now)
    if old is not None and old.sub == account.sub:
        return await store.renew_login(connection, old.sid, cookie, **times), cookie, []
    ended = await store.end_login(connection, old.sid) if old is not None else []
    return await store.add_login(connection, cookie, sid=str(new_id()), sub=account.sub, **times), cookie, ended


async def _find_login(provider: Provider, request: Request) -> Row | None:
    async with provider.engine.connect() as connection:
        return await store.find_login(connection, request.cookies.get(SESSION_COOKIE, ""), provider.clock())


async def _login_form(provider: Provider, request: Request, username: str = "", error: str = "") -> Response:
    listed = []
    if provider.demo:
        async with provider.engine.connect() as connection:
            listed = await store.list_listed_accounts(connection)
    query = request.url.query
    return await _with_form_cookie(
        provider, request, lambda seal: pages.login_page(query, seal, listed, username, error)
    )


async def _password_form(provider: Provider, request: Request, sub: str, proof: str, error: str = "") -> Response:
    """The form for a new password. Its seal holds the account and the digest of the temporary password, which may be
    replaced before the form is sent."""
    query = request.url.query
    return await _with_form_cookie(
        provider, request, lambda seal: pages.password_page(query, seal, error), sub=sub, proof=proof
    )


async def _with_form_cookie(
    provider: Provider, request: Request, draw: Callable[[str], HTMLResponse], **sealed: str
) -> HTMLResponse:
    """A page with a form whose seal is bound to this browser's cookie, against CSRF: another site knows neither."""
    cookie = request.cookies.get(FORM_COOKIE) or model.new_secret()
    response = draw(await provider.issue_jwt(FORM_TYP, {"cookie": model.digest(cookie), **sealed}, model.FORM_TTL))
    _set_cookie(provider, response, FORM_COOKIE, cookie)
    return response


async def _verify_form(provider: Provider, request: Request, form: dict[str, str]) -> dict | None:
    """The sealed claims of a form that this provider rendered for this browser and that was sent from its page; else None."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        return None
    claims = await provider.verify_jwt(form.get("seal", ""), FORM_TYP)
    cookie = request.cookies.get(FORM_COOKIE, "")
    is_valid = claims is not None and hmac.compare_digest(claims["cookie"], model.digest(cookie))
    return claims if is_valid else None


async def _logout_target(provider: Provider, parameters: dict[str, str]) -> tuple[dict | None, str | None]:
    """The claims of the ID token sent as a hint, and the address to redirect to afterwards. Raises OAuth2Error."""
    hint = None
    if "id_token_hint" in parameters:
        hint = await provider.verify_jwt(parameters["id_token_hint"], "JWT", expired=True)
        if hint is None:
            raise InvalidRequestError("The id_token_hint is not an ID token of this provider.")
    client_id = parameters.get("client_id", hint["aud"] if hint else None)
    if hint and client_id != hint["aud"]:
        raise InvalidRequestError("The id_token_hint was issued to another client.")
    target = parameters.get("post_logout_redirect_uri")
    if target is None:
        return hint, None
    async with provider.engine.connect() as connection:
        client = None if not client_id or "\0" in client_id else await store.find_client(connection, client_id)
    if client is None or target not in resolve_uris(provider, client.post_logout_redirect_uris):
        raise InvalidRequestError("The post_logout_redirect_uri is not registered for this client.")
    return hint, add_params_to_uri(target, [("state", parameters["state"])]) if "state" in parameters else target


async def _end_session(provider: Provider, sid: str | None, target: str | None) -> Response:
    if sid is not None:
        async with provider.engine.begin() as connection:
            ended = await store.end_login(connection, sid)
        await notify_clients(provider, ended)
    response = RedirectResponse(target, 303) if target else pages.signed_out_page()
    response.delete_cookie(SESSION_COOKIE, path=_path(provider))
    return response


def _path(provider: Provider) -> str:
    return urlsplit(provider.issuer).path or "/"


def _set_cookie(
    provider: Provider, response: Response, name: str, value: str, *, max_age: timedelta | None = None
) -> None:
    secure = urlsplit(provider.issuer).scheme == "https"
    seconds = None if max_age is None else int(max_age.total_seconds())
    response.set_cookie(
        name, value, max_age=seconds, path=_path(provider), secure=secure, httponly=True, samesite="lax"
    )
