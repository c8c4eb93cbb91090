"""Settings of identity alone, `IDENTITY_*`."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class IdentitySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="IDENTITY_", extra="ignore")

    upload_bytes: int = Field(default=20_000_000, ge=1, le=20_000_000)
    """The largest file of people."""
    keycloak_url: str | None = None
    """Where identity reaches Keycloak, e.g. http://keycloak:8080; None: accounts and applications are not kept here."""
    keycloak_realm: str = "uplift"
    keycloak_client_id: str = "uplift-identity"
    keycloak_client_secret: SecretStr = SecretStr("")
    embedded_url: str | None = None
    """The issuer of the embedded provider, where that one signs people in; `uplift up` sets it."""
    embedded_client_id: str = "uplift-identity"
    embedded_client_secret: SecretStr = SecretStr("")
    services_url: str | None = None
    """Where identity reaches the other services, to ask what they say of their sections before a blueprint is published;
    `{service}` stands for the name of one, e.g. http://{service}:8000. None: they are not asked, and a section may turn out
    to be wrong after it was published."""
    portal_client_id: str = "portal"
    """The client that logout tokens are sent to."""
