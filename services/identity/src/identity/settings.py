"""The settings that only identity has, `IDENTITY_*`."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class IdentitySettings(BaseSettings):
    """With `keycloak_url` the login provider is Keycloak, with `embedded_url` the embedded one, which wins."""

    model_config = SettingsConfigDict(env_prefix="IDENTITY_", extra="ignore")

    upload_bytes: int = Field(default=20_000_000, ge=1, le=20_000_000)
    """The largest file of people, in bytes."""
    keycloak_url: str | None = None
    """Where identity reaches Keycloak, e.g. http://keycloak:8080; None: identity manages no accounts and
    applications there."""
    keycloak_realm: str = "uplift"
    keycloak_client_id: str = "uplift-identity"
    keycloak_client_secret: SecretStr = SecretStr("")
    embedded_url: str | None = None
    """The issuer of the embedded provider; `uplift up` sets it."""
    embedded_client_id: str = "uplift-identity"
    embedded_client_secret: SecretStr = SecretStr("")
    services_url: str | None = None
    """Where identity reaches the other services to have them check their sections before a blueprint is published; `{service}`
    stands for a service's name, e.g. http://{service}:8000. None: they check them only after it was published."""
    portal_client_id: str = "portal"
    """The client id of the portal: the audience of logout tokens."""
