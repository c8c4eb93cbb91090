"""Settings from environment variables, the same in every deployment. They are read once, when a process starts."""

from pathlib import Path
from typing import Literal

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class PlatformSettings(BaseSettings):
    """The settings that all services of a process share, from variables `UPLIFT_*`."""

    model_config = SettingsConfigDict(env_prefix="UPLIFT_", extra="ignore")

    database_url: str = "postgresql+psycopg://{role}@127.0.0.1:5432/uplift"
    """`{role}` is replaced by the service's own role. A password in the URL is used for the roles of all services."""
    admin_database_url: str | None = None
    """An administrator's URL; with it, `migrate` also creates missing roles and schemas."""
    database_pool: int = 4
    kafka_bootstrap_servers: str | None = None
    """`host:port,…`; None: the broker is a log table in PostgreSQL."""
    kafka_replication_factor: int = 3
    """The replication factor of topics that the role `topics` creates."""
    kafka_session_seconds: float = 30
    """Kafka's session timeout: how long until another reader replaces one that died. A shorter one also replaces slow readers."""
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """How clients connect to Kafka; with SASL_… the user name and the password are required."""
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    kafka_username: str | None = None
    kafka_password: SecretStr | None = None
    kafka_ca_file: Path | None = None
    """PEM file of the certificate authorities that Kafka's certificate is checked against; None: the system's."""
    mongodb_url: str | None = None
    """The document store's MongoDB; None: documents are stored as `jsonb` in PostgreSQL."""
    log_format: Literal["text", "json"] = "text"
    partitions: int | None = None
    """The most partitions per topic; None: as declared."""
    issuer: str = "http://127.0.0.1:8080/oidc"
    issuer_name: str | None = None
    """The issuer's name in people's logins in the directory, for an issuer whose URL may change; None: its URL."""
    audience: str = "uplift"
    jwks_url: str | None = None
    """The URL of the issuer's keys; None: from its discovery document."""
    secret: str = "only-for-development"  # noqa: S105
    """The key of keyed hashes (customer numbers). After a change, new hashes do not match old ones."""
    allow_private_addresses: bool = False
    """Allows URLs that tenants configure to point to this machine and its network, also by plain HTTP. For development
    only: every administrator of a tenant can then call internal systems."""
    connections: int = 4_000
    """The most open connections of a process that serves HTTP; further ones are answered 503 with Retry-After."""
    drain_seconds: float = 0
    """How long a process still answers requests after SIGTERM, so that a gateway can stop sending them."""
    feature_flags_file: Path | None = None
    """The file of feature flags in flagd's format (docs/feature-flags.md); None: every flag has its default."""
    deliver_twice: bool = False
    """Delivers every event to its reader twice. For tests."""

    @property
    def login_issuer(self) -> str:
        """The value of `iss` in people's logins in the directory."""
        return self.issuer_name or self.issuer


class TelemetrySettings(BaseSettings):
    """OpenTelemetry's own variable that turns traces on. Its exporter reads its other variables itself."""

    otel_exporter_otlp_endpoint: str | None = None
    """The base URL of an OTLP/HTTP collector; None: no traces."""
