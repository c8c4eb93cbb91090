"""Settings of the gateway, `GATEWAY_*`. What it shares with the services it reads under their names, too."""

from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

SERVICES = ("identity", "ingest", "kpi-engine", "training", "gamification", "forms", "notification")

CommaSeparated = Annotated[tuple[str, ...], NoDecode]
"""In the environment: words with commas between them."""


def _shared(name: str) -> AliasChoices:
    return AliasChoices(f"GATEWAY_{name}", f"UPLIFT_{name}")


class GatewaySettings(BaseSettings):
    """Bytes are bytes, times are seconds; `host:port` is an address without a scheme."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", extra="ignore", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = 8080
    threads: int = Field(default=2, ge=1)
    """Envoy's workers, for `python -m gateway run`."""
    admin_port: int = 9901
    """Envoy's own door: on loopback only, since it can do everything."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """Where Prometheus may read Envoy's metrics and nothing else; None: nowhere."""
    public_url: str = "http://127.0.0.1:8080"
    """What browsers call it. With https answers tell them to stay with it."""
    tls_certificate: str | None = None
    """File with the certificate chain; with `tls_key` Envoy itself speaks TLS."""
    tls_key: str | None = None
    trusted_proxies: int = Field(default=0, ge=0)
    """How many proxies of ours stand in front, whose X-Forwarded-* are believed."""

    services: CommaSeparated = SERVICES
    upstream: str = "http://{service}:8000"
    """Where a service is, by its name: a DNS name with all its replicas, as in Compose and Kubernetes."""
    upstreams: dict[str, str] = {}
    """Services that are elsewhere: name to `host:port[,host:port]`, in the environment as JSON."""
    page: str = "page:8000"
    """Who answers `/`: `host:port[,host:port]`."""
    provider: str = "keycloak:8080"
    """Identity provider: `host:port[,host:port]`."""
    provider_paths: CommaSeparated = ("/realms", "/resources")
    """What of it is public; `/oidc` for the embedded one."""
    provider_hidden: CommaSeparated = ("/realms/master",)
    """What below that is not."""

    issuer: str | None = Field(default=None, validation_alias=_shared("ISSUER"))
    """None: realm `uplift` at the public address."""
    jwks_url: str | None = Field(default=None, validation_alias=_shared("JWKS_URL"))
    """None: Keycloak's realm `uplift`, asked directly and not through the gateway."""
    audience: str = Field(default="uplift", validation_alias=_shared("AUDIENCE"))

    origins: CommaSeparated | None = None
    """Origins whose pages may call the API; None: that of `public_url`."""

    tenant_rate: int = Field(default=200, ge=1)
    """Requests a second of one tenant, in each replica of the gateway."""
    tenant_burst: int = Field(default=400, ge=1)
    address_rate: int = Field(default=100, ge=1)
    """Requests a second of one client address where no token is asked for."""
    address_burst: int = Field(default=500, ge=1)

    connections: int = Field(default=10_000, ge=1)
    """Open at a time; further ones are closed at once."""
    heap_bytes: int = Field(default=1 << 30, ge=64 << 20)
    """What Envoy may use; near it, new requests are refused and the largest streams cut."""
    body_bytes: int = Field(default=10 << 20, ge=1)
    upload_bytes: int = Field(default=1 << 30, ge=1)
    """A payload sent to ingest."""
    header_kb: int = Field(default=32, ge=8, le=8192)
    """All headers of a request together."""
    header_count: int = Field(default=100, ge=10)

    header_seconds: float = Field(default=10, gt=0)
    """Until a request's headers are there."""
    idle_seconds: float = Field(default=30, gt=0)
    """A request or answer in which nothing moves is cut; also the time a service has to answer."""
    request_seconds: float = Field(default=60, gt=0)
    """A whole request with its answer."""
    upload_idle_seconds: float = Field(default=120, gt=0)
    upload_seconds: float = Field(default=1800, gt=0)
    stream_idle_seconds: float = Field(default=300, gt=0)
    """Server-sent events and WebSockets may be as old as they like, but not as silent."""
    connection_idle_seconds: float = Field(default=60, gt=0)
    """A connection without a request."""
    drain_seconds: float = Field(default=5, gt=0)
    """How long a gateway that leaves still serves, for callers to go elsewhere."""

    requests_per_service: int = Field(default=500, ge=1)
    """At a time; further ones wait, and then are refused."""
    waiting_per_service: int = Field(default=200, ge=1)
    streams_per_service: int = Field(default=10_000, ge=1)
    upstream_idle_seconds: float = Field(default=4, gt=0)
    """Shorter than the services keep an idle connection (5 s), so that none is closed just as it is used."""
    health_seconds: float = Field(default=1, gt=0)
    """Between two questions to a replica's /readyz; two bad answers take it out, one good one puts it back."""
    jwks_seconds: float = Field(default=30, gt=0)
    """How long the issuer's keys are kept: a new key is refused until they are read again."""

    otlp_endpoint: str | None = Field(
        default=None, validation_alias=AliasChoices("GATEWAY_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    )
    """OTLP over HTTP, e.g. http://collector:4318; None: no spans of its own, a caller's traceparent goes through."""
    trace_percent: float = Field(default=100, ge=0, le=100)

    @field_validator("services", "provider_paths", "provider_hidden", "origins", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if strangers := self.upstreams.keys() - set(self.services):
            raise ValueError(f"upstreams names no service: {', '.join(sorted(strangers))}")
        return self

    @property
    def tls(self) -> bool:
        return self.tls_certificate is not None

    @property
    def secure(self) -> bool:
        return urlsplit(self.public_url).scheme == "https"

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        if self.origins is not None:
            return self.origins
        parts = urlsplit(self.public_url)
        return (f"{parts.scheme}://{parts.netloc}",)

    @property
    def token_issuer(self) -> str:
        return self.issuer or f"{self.public_url.rstrip('/')}/realms/uplift"

    @property
    def keys_url(self) -> str:
        first = self.provider.split(",")[0].strip()
        return self.jwks_url or f"http://{first}/realms/uplift/protocol/openid-connect/certs"

    def addresses(self, service: str) -> list[tuple[str, int]]:
        """Host and port of each replica, or of the one DNS name that stands for all of them."""
        return parse_addresses(self.upstreams.get(service) or self.upstream.replace("{service}", service))


def parse_addresses(text: str) -> list[tuple[str, int]]:
    """From `host:port[,host:port]` or an http URL. Raises ValueError for anything else."""
    found: list[tuple[str, int]] = []
    for each in text.split(","):
        parts = urlsplit(each.strip() if "://" in each else f"http://{each.strip()}")
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"{each.strip()!r} is not host:port")
        found.append((parts.hostname, parts.port or 80))
    return found
