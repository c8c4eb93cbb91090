"""The provider as an ASGI application, its metadata, and the refusal to listen beyond loopback."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from ipaddress import ip_address
from urllib.parse import urlsplit

from authlib.oauth2.rfc6749.errors import OAuth2Error
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline
from servicekit.outbound import UrlPolicy
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from dev_idp import model
from dev_idp.admin import admin_endpoints
from dev_idp.cors import create_cors_middleware
from dev_idp.login import create_login_router
from dev_idp.logout import LogoutTokenSender
from dev_idp.provider import ALGORITHM, Provider, SendLogoutToken
from dev_idp.token import token_endpoints


def create_provider(
    engine: AsyncEngine,
    issuer: str,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    access_ttl: timedelta = model.ACCESS_TTL,
    demo: bool,
    policy: UrlPolicy | None = None,
    deliver: SendLogoutToken | None = None,
) -> FastAPI:
    """The provider, to be mounted at the path of its issuer after `MIGRATIONS` and `await ensure_seed_rows(engine)`.

    `issuer` is the full address without a closing slash, e.g. `http://127.0.0.1:8080/oidc`. With `demo` the login page
    lists the accounts that are `listed`. `policy` says which addresses of tenants may be called. `deliver` posts a logout
    token to a client; by default over HTTP, as `policy` allows.
    """
    issuer = issuer.rstrip("/")
    provider = Provider(engine, issuer, clock, access_ttl, demo, deliver or LogoutTokenSender(policy or UrlPolicy()))
    app = FastAPIOffline(
        title="Uplift sign-in (development)",
        description="OpenID Connect provider for this machine only. Production uses Keycloak.",
    )
    app.middleware("http")(create_cors_middleware(provider))
    # Against DNS rebinding: a foreign name that resolves to loopback would be same-origin with this provider.
    hosts = {urlsplit(issuer).hostname or "", "localhost", "127.0.0.1", "[::1]"}
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=sorted(hosts), www_redirect=False)

    @app.get("/.well-known/openid-configuration", tags=["metadata"])
    async def discovery() -> dict[str, object]:
        """The provider's endpoints and capabilities (OpenID Connect Discovery 1.0)."""
        return metadata(issuer)

    @app.get("/jwks", tags=["metadata"])
    async def jwks() -> dict[str, object]:
        """The public keys that tokens are signed with."""
        keys = (await provider.keys()).as_dict(private=False)["keys"]
        return {"keys": [{**key, "use": "sig", "alg": ALGORITHM} for key in keys]}

    app.include_router(create_login_router(provider))
    app.include_router(token_endpoints(provider))
    app.include_router(admin_endpoints(provider))

    @app.exception_handler(OAuth2Error)
    async def oauth_error(request: Request, error: OAuth2Error) -> JSONResponse:
        status, body, headers = error()
        return JSONResponse(body, status, headers=dict(headers))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> JSONResponse:
        return _problem(error.status_code, {"detail": error.detail}, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        # The response must not repeat the input: it may be a password.
        problems = [{"loc": each["loc"], "msg": each["msg"]} for each in error.errors()]
        return _problem(422, {"detail": "The request is not valid.", "errors": jsonable_encoder(problems)})

    return app


def metadata(issuer: str) -> dict[str, object]:
    """The discovery document."""
    authentication = ["client_secret_basic", "client_secret_post", "none"]
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{issuer}/authorize",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}/userinfo",
        "jwks_uri": f"{issuer}/jwks",
        "revocation_endpoint": f"{issuer}/revoke",
        "end_session_endpoint": f"{issuer}/logout",
        "scopes_supported": list(model.SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": list(model.GRANTS),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": authentication,
        "revocation_endpoint_auth_methods_supported": authentication,
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["none", "login", "select_account"],
        "claims_supported": [
            *("iss", "sub", "aud", "azp", "exp", "iat", "auth_time", "nonce", "at_hash", "sid"),
            *("tenant", "organization", "preferred_username", "name", "email"),
        ],
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def refuse_beyond_loopback(host: str) -> None:
    """Raises ValueError unless `host`, the address to listen on, can be reached from this machine only."""
    try:
        loopback = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise ValueError(
            f"The development sign-in must not listen on {host or 'every address'}: its demo passwords are public. "
            "Listen on 127.0.0.1, or configure a real OpenID Connect provider such as Keycloak."
        )


def _problem(status: int, members: dict, headers: dict[str, str] | None = None) -> JSONResponse:
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, **members}
    return JSONResponse(body, status, headers=dict(headers or {}), media_type="application/problem+json")
