"""The page on which a signed-in person browses and tries a service's API."""

from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from fastapi.responses import HTMLResponse

from servicekit.door.headers import page_policy
from servicekit.door.security_schemes import SCOPES

CLIENT_ID = "swagger"
"""The page's public client at the issuer."""


def add_docs(app: FastAPI, issuer: str) -> None:
    """Adds `/docs` with Swagger UI, and the page that the issuer redirects to after the login."""
    parts = urlsplit(issuer)
    headers = {"content-security-policy": page_policy(f"{parts.scheme}://{parts.netloc}")}
    login = {"clientId": CLIENT_ID, "usePkceWithAuthorizationCodeGrant": True, "scopes": " ".join(SCOPES)}

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        root = request.scope.get("root_path", "")
        page = get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            oauth2_redirect_url=f"{root}/docs/oauth2-redirect",
            init_oauth=login,
            swagger_js_url=f"{root}/static-offline-docs/swagger-ui-bundle.js",
            swagger_css_url=f"{root}/static-offline-docs/swagger-ui.css",
            swagger_favicon_url=f"{root}/static-offline-docs/favicon.png",
        )
        page.headers.update(headers)
        return page

    @app.get("/docs/oauth2-redirect", include_in_schema=False)
    async def oauth2_redirect() -> HTMLResponse:  # pyright: ignore[reportUnusedFunction]
        return get_swagger_ui_oauth2_redirect_html()
