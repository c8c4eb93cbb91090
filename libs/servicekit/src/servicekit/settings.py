"""Settings come from the environment, the same variable in every shape. They are built once, when a process starts."""

from typing import Literal

from pydantic_settings import BaseSettings, SettingsConfigDict


class PlatformSettings(BaseSettings):
    """What all services of a process share, `UPLIFT_*`."""

    model_config = SettingsConfigDict(env_prefix="UPLIFT_", extra="ignore")

    database_url: str = "postgresql+psycopg://{role}@127.0.0.1:5432/uplift"
    """`{role}` stands for the service's own role. Its password, if it names one, is every service's role's."""
    admin_database_url: str | None = None
    """An administrator's URL: with it, `migrate` also creates missing roles and schemas."""
    database_pool: int = 4
    kafka_bootstrap_servers: str | None = None
    """`host:port,…`; None: the broker is a log table in PostgreSQL."""
    kafka_replication_factor: int = 3
    """Of topics that `topics` creates."""
    kafka_session_seconds: float = 30
    """After which another reader takes the place of one that was killed. Shorter: sooner, and sooner in error."""
    mongodb_url: str | None = None
    """None: documents are `jsonb` in PostgreSQL."""
    log_format: Literal["text", "json"] = "text"
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
    allow_private_addresses: bool = False
    """Lets addresses that tenants give lead to this machine and the network around it, also by plain HTTP. For
    development: everything inside can then be called by whoever administers a tenant."""
    connections: int = 4_000
    """Open at a time in a process that answers HTTP; further ones are told to come back."""
    drain_seconds: float = 0
    """How long a process that was told to stop still answers, so that a gateway has time to leave it."""
    deliver_twice: bool = False
    """Hands every event to its reader twice. For tests."""

    @property
    def login_issuer(self) -> str:
        """The `iss` of people's logins in the directory."""
        return self.issuer_name or self.issuer


class TelemetrySettings(BaseSettings):
    """OpenTelemetry's own variable that decides whether there are traces; its exporter reads the others."""

    otel_exporter_otlp_endpoint: str | None = None
    """Base URL of an OTLP/HTTP collector; None: no traces."""
