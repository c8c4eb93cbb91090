"""CORS for public clients: their pages redeem codes in the browser, so their origins may read the provider's responses."""

from collections.abc import Awaitable, Callable

from fastapi import Request, Response

from dev_idp import model, store
from dev_idp.provider import Provider

_READABLE = ("/.well-known/openid-configuration", "/jwks", "/token", "/userinfo")
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "authorization, content-type",
    "Access-Control-Max-Age": "600",
}


def create_cors_middleware(
    provider: Provider,
) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """The middleware. It never allows credentials (cookies)."""

    async def answer(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        origin = request.headers.get("origin")
        if origin is None or request.url.path.removeprefix(request.scope["root_path"]) not in _READABLE:
            return await call_next(request)
        async with provider.engine.connect() as connection:
            known = {model.parse_origin(uri) for uri in await store.list_public_redirect_uris(connection)}
        preflight = request.method == "OPTIONS" and "access-control-request-method" in request.headers
        response = Response(status_code=204, headers=_PREFLIGHT) if preflight else await call_next(request)
        response.headers["Vary"] = "Origin"
        if origin in known:
            response.headers["Access-Control-Allow-Origin"] = origin
        return response

    return answer
