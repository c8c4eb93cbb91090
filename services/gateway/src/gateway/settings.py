"""The settings of the gateway, `GATEWAY_*`. Settings that services have too are also read from `UPLIFT_*`."""

from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from contracts import ALL_SERVICES
from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

CommaSeparated = Annotated[tuple[str, ...], NoDecode]
"""Words, separated by commas in the environment."""


def _shared(name: str) -> AliasChoices:
    return AliasChoices(f"GATEWAY_{name}", f"UPLIFT_{name}")


class GatewaySettings(BaseSettings):
    """The settings. Sizes are in bytes and times in seconds; an address `host:port` has no scheme."""

    model_config = SettingsConfigDict(env_prefix="GATEWAY_", extra="ignore", populate_by_name=True)

    host: str = "127.0.0.1"
    port: int = 8080
    threads: int = Field(default=2, ge=1)
    """Envoy's worker threads, for `python -m gateway run`."""
    admin_port: int = 9901
    """Envoy's admin interface, on loopback only: it controls everything."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None
    """The port at which Prometheus reads Envoy's metrics and nothing else is served; None for none."""
    public_url: str = "http://127.0.0.1:8080"
    """The address that browsers use. With https, responses carry Strict-Transport-Security."""
    tls_certificate: str | None = None
    """File with the certificate chain; with `tls_key` Envoy terminates TLS."""
    tls_key: str | None = None
    trusted_proxies: int = Field(default=0, ge=0)
    """The number of trusted proxies before the gateway. Their X-Forwarded-* headers are believed."""

    services: CommaSeparated = ALL_SERVICES
    """The services with a route and a cluster."""
    upstream: str = "http://{service}:8000"
    """The address of a service, with `{service}` for its name. It is a DNS name of all replicas, as in Compose and Kubernetes."""
    upstreams: dict[str, str] = {}
    """Services with another address: name to `host:port[,host:port]`, as JSON in the environment."""
    page: str = "page:8000"
    """The address of the front page `/`: `host:port[,host:port]`."""
    provider: str = "keycloak:8080"
    """The address of the identity provider: `host:port[,host:port]`."""
    provider_paths: CommaSeparated = ("/realms", "/resources")
    """The public path prefixes of the identity provider; `/oidc` for the embedded one."""
    provider_hidden: CommaSeparated = ("/realms/master",)
    """Path prefixes below `provider_paths` that are not public."""

    issuer: str | None = Field(default=None, validation_alias=_shared("ISSUER"))
    """The issuer of access tokens; by default the realm `uplift` at `public_url`."""
    jwks_url: str | None = Field(default=None, validation_alias=_shared("JWKS_URL"))
    """The URL of the issuer's keys; by default that of Keycloak's realm `uplift` at `provider`, not through the gateway."""
    audience: str = Field(default="uplift", validation_alias=_shared("AUDIENCE"))

    origins: CommaSeparated | None = None
    """Origins whose pages may call the API; by default that of `public_url`."""

    tenant_rate: int = Field(default=200, ge=1)
    """Requests per second of one tenant, in each replica of the gateway."""
    tenant_burst: int = Field(default=400, ge=1)
    address_rate: int = Field(default=100, ge=1)
    """Requests per second of one client address, on paths without a token."""
    address_burst: int = Field(default=500, ge=1)

    connections: int = Field(default=10_000, ge=1)
    """Open connections at a time. Further ones are closed at once."""
    heap_bytes: int = Field(default=1 << 30, ge=64 << 20)
    """The memory that Envoy may use. Close to that, it refuses new requests and resets the largest streams."""
    body_bytes: int = Field(default=10 << 20, ge=1)
    upload_bytes: int = Field(default=1 << 30, ge=1)
    """The largest body of records that ingest takes."""
    header_kb: int = Field(default=32, ge=8, le=8192)
    """All headers of a request together, in KiB."""
    header_count: int = Field(default=100, ge=10)

    header_seconds: float = Field(default=10, gt=0)
    """The time for a request's headers to arrive."""
    idle_seconds: float = Field(default=30, gt=0)
    """The time after which a request or response without progress is reset, and in which a service must begin to respond."""
    request_seconds: float = Field(default=60, gt=0)
    """The time for a request with its response."""
    upload_idle_seconds: float = Field(default=120, gt=0)
    upload_seconds: float = Field(default=1800, gt=0)
    stream_idle_seconds: float = Field(default=300, gt=0)
    """The idle time of server-sent events and WebSockets; their duration has no limit."""
    connection_idle_seconds: float = Field(default=60, gt=0)
    """How long a client's connection may be without a request."""
    drain_seconds: float = Field(default=5, gt=0)
    """How long a draining gateway still serves requests, while callers move to another replica."""

    requests_per_service: int = Field(default=500, ge=1)
    """Requests to a service at a time. Further ones wait."""
    waiting_per_service: int = Field(default=200, ge=1)
    """Waiting requests to a service at a time. Further ones are refused."""
    streams_per_service: int = Field(default=10_000, ge=1)
    upstream_idle_seconds: float = Field(default=4, gt=0)
    """How long an idle connection to a service is kept. It is shorter than the 5 s after which services close it, so that none
    is closed at the moment of its reuse."""
    health_seconds: float = Field(default=1, gt=0)
    """The time between two health checks of a replica (/readyz). After two failures it gets no requests, until one success."""
    jwks_seconds: float = Field(default=30, gt=0)
    """How long the issuer's keys are cached. Tokens of a newer key are refused until then."""

    otlp_endpoint: str | None = Field(
        default=None, validation_alias=AliasChoices("GATEWAY_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    )
    """OTLP over HTTP, such as http://collector:4318. Without it the gateway makes no spans and passes a caller's traceparent on."""
    trace_percent: float = Field(default=100, ge=0, le=100)

    @field_validator("services", "provider_paths", "provider_hidden", "origins", mode="before")
    @classmethod
    def _split_words(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if unknown := self.upstreams.keys() - set(self.services):
            raise ValueError(f"upstreams names no service: {', '.join(sorted(unknown))}")
        return self

    @property
    def tls(self) -> bool:
        """Whether Envoy terminates TLS."""
        return self.tls_certificate is not None

    @property
    def secure(self) -> bool:
        """Whether browsers use https."""
        return urlsplit(self.public_url).scheme == "https"

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """The origins whose pages may call the API."""
        if self.origins is not None:
            return self.origins
        parts = urlsplit(self.public_url)
        return (f"{parts.scheme}://{parts.netloc}",)

    @property
    def token_issuer(self) -> str:
        """The `iss` of access tokens."""
        return self.issuer or f"{self.public_url.rstrip('/')}/realms/uplift"

    @property
    def keys_url(self) -> str:
        """The URL of the issuer's keys (JWKS)."""
        first = self.provider.split(",")[0].strip()
        return self.jwks_url or f"http://{first}/realms/uplift/protocol/openid-connect/certs"

    def addresses(self, service: str) -> list[tuple[str, int]]:
        """Host and port of each replica of the service, or of the one DNS name of all. Raises ValueError for malformed addresses."""
        return parse_addresses(self.upstreams.get(service) or self.upstream.replace("{service}", service))


def parse_addresses(text: str) -> list[tuple[str, int]]:
    """Host and port of each address in `host:port[,host:port]`; each may be an http URL. Raises ValueError for anything else."""
    addresses: list[tuple[str, int]] = []
    for each in text.split(","):
        parts = urlsplit(each.strip() if "://" in each else f"http://{each.strip()}")
        if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
            raise ValueError(f"{each.strip()!r} is not host:port")
        addresses.append((parts.hostname, parts.port or 80))
    return addresses
