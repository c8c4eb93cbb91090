"""Settings come from the environment, the same variable in every shape. They are built once, when a process starts."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class PlatformSettings(BaseSettings):
    """What all services of a process share, `UPLIFT_*`."""

    model_config = SettingsConfigDict(env_prefix="UPLIFT_", extra="ignore")

    database_url: str = "postgresql+psycopg://{role}@127.0.0.1:5432/uplift"
    """`{role}` stands for the service's own role."""
    admin_database_url: str | None = None
    """An administrator's URL: with it, `migrate` also creates missing roles and schemas."""
    database_pool: int = 4
    partitions: int | None = None
    """At most this many partitions a topic; None: as declared."""
    issuer: str = "http://127.0.0.1:8080/oidc"
    issuer_name: str | None = None
    """The name under which people's logins of this issuer are filed, where its address may change; None: its address."""
    audience: str = "uplift"
    jwks_url: str | None = None
    """Where the issuer's keys are; None: as its discovery document says."""
    secret: str = "only-for-development"  # noqa: S105
    """The key of keyed hashes (customer numbers). Changing it separates old keys from new ones."""
    deliver_twice: bool = False
    """Hands every event to its reader twice. For tests."""

    @property
    def login_issuer(self) -> str:
        """The `iss` of people's logins in the directory."""
        return self.issuer_name or self.issuer
