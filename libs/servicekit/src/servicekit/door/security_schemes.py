"""OpenAPI's security schemes: how a caller gets an access token."""

from typing import Any

SCOPES = {"openid": "Who signs in.", "profile": "Their name.", "organization": "The tenant that the token is for."}


def build_security_schemes(issuer: str) -> dict[str, Any]:
    """The security schemes of an issuer: the authorization code flow with PKCE for people, and a bearer token."""
    base = issuer.rstrip("/")
    # Keycloak's endpoints are below the realm's URL; the embedded provider's are at its root.
    own = f"{base}/protocol/openid-connect" if "/realms/" in base else base
    authorize = "auth" if "/realms/" in base else "authorize"
    code = {"authorizationUrl": f"{own}/{authorize}", "tokenUrl": f"{own}/token", "refreshUrl": f"{own}/token"}
    return {
        "login": {
            "type": "oauth2",
            "description": "People sign in by authorization code with PKCE, at a public client.",
            "flows": {"authorizationCode": {**code, "scopes": SCOPES}},
        },
        "token": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "An access token of the issuer, audience `uplift`: `uplift token`, or client credentials.",
        },
    }
