"""A tenant's applications, machines, accounts and own identity provider, as the API takes them."""

from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from servicekit.strict_models import StrictModel

from identity.model.fields import Email, Line, Slug, field_error

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def _address(value: str) -> str:
    """Accepts an exact address: https, or http on loopback; without wildcard, fragment or credentials."""
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        parts, host = None, None
    if parts is None or not host or parts.scheme not in ("http", "https"):
        raise field_error(f"`{value[:200]}` is not an address", "write it as https://crm.example.org/callback")
    if parts.scheme == "http" and host not in _LOOPBACK:
        raise field_error(f"`{value[:200]}` is not encrypted", "use https")
    if "*" in value or parts.fragment or parts.username is not None or "#" in value:
        raise field_error(f"`{value[:200]}` has a wildcard, a fragment or credentials", "write the exact address")
    return value


def _certificate(value: str) -> str:
    lines = [line.strip() for line in value.strip().splitlines()]
    encoded = "".join(line for line in lines if not line.startswith("-----"))
    if not encoded or not encoded.isascii() or not all(c.isalnum() or c in "+/=" for c in encoded):
        raise field_error("it is no certificate in PEM", "paste it as it is in the metadata, base64")
    return encoded


Address = Annotated[Line, AfterValidator(_address)]
"""An address that browsers are sent to."""
ProviderAddress = Line
"""An address that programs of this installation call, and so subject to its address policy: see
`list_provider_addresses`."""
LongLine = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00-\x1f\x7f]+$")]
EntityId = Annotated[str, Field(pattern=r"^[^\s\x00\x85\ufeff]{5,255}$")]
"""Two characters are named because JavaScript, which OpenAPI's patterns follow, and Rust differ in them as white space."""
Certificate = Annotated[str, Field(max_length=10_000), AfterValidator(_certificate)]
Username = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._@-]{2,99}$")]


class OidcApplication(StrictModel):
    """A subsystem that signs people in by OpenID Connect, authorization code. `public`: without a secret, with PKCE.
    Addresses are exact. `back_channel_logout_uri` is told when a session ends."""

    protocol: Literal["oidc"]
    name: Line | None = None
    public: bool = False
    redirect_uris: Annotated[list[Address], Field(min_length=1, max_length=20)]
    post_logout_redirect_uris: Annotated[list[Address], Field(max_length=20)] = []
    back_channel_logout_uri: ProviderAddress | None = None

    def origins(self) -> list[str]:
        """The origins of its redirect URIs, from which a browser may request tokens."""
        parts = [urlsplit(each) for each in self.redirect_uris]
        return sorted({f"{each.scheme}://{each.netloc}" for each in parts})


class SamlAttribute(StrictModel):
    """An attribute of the assertion: what `source` says of the person, or the fixed `value`."""

    name: LongLine
    source: Literal["username", "email", "firstName"] | None = None
    value: LongLine | None = None

    @model_validator(mode="after")
    def _require_one_source(self) -> "SamlAttribute":
        if (self.source is None) == (self.value is None):
            raise field_error("it needs either a source or a value", "give one of them")
        return self


class SamlApplication(StrictModel):
    """A subsystem that is a SAML 2.0 service provider, such as Amazon Connect. `entity_id` is unique in this
    installation; `audiences` are named in the assertion beside it. `certificate`: its requests are signed, and only such
    are taken."""

    protocol: Literal["saml"]
    name: Line | None = None
    entity_id: EntityId
    acs_url: Address
    slo_url: ProviderAddress | None = None
    name_id_format: Literal["persistent", "email", "username", "transient"] = "persistent"
    audiences: Annotated[list[LongLine], Field(max_length=5)] = []
    attributes: Annotated[list[SamlAttribute], Field(max_length=20)] = []
    relay_state: LongLine | None = None
    certificate: Certificate | None = None

    @model_validator(mode="after")
    def _names_once(self) -> "SamlApplication":
        names = [each.name for each in self.attributes]
        if len(names) != len(set(names)):
            raise field_error("an attribute is there twice", "keep one of them")
        if not any(mark in self.entity_id for mark in ":/."):
            raise field_error(f"`{self.entity_id}` is not an entity id", "write a URI, such as urn:example:crm")
        return self


class Machine(StrictModel):
    """A program that calls the API by client credentials. `person` is who it is in the directory: roles come from
    there."""

    protocol: Literal["machine"]
    name: Line | None = None
    person: Slug


Application = OidcApplication | SamlApplication | Machine
ApplicationSpec = Annotated[Application, Field(discriminator="protocol")]


def application_id(tenant: str, slug: str, application: Application) -> str:
    """The client id; of a SAML service provider its entity id."""
    return application.entity_id if isinstance(application, SamlApplication) else f"{tenant}.{slug}"


class OidcProvider(StrictModel):
    """The tenant's own provider, by OpenID Connect; as its discovery document says."""

    protocol: Literal["oidc"]
    name: Line | None = None
    issuer: ProviderAddress
    authorization_url: ProviderAddress
    token_url: ProviderAddress
    jwks_url: ProviderAddress
    client_id: Line
    client_secret: Annotated[LongLine | None, Field(exclude=True, repr=False)] = None


class SamlProvider(StrictModel):
    """The tenant's own provider, by SAML 2.0; as its metadata say."""

    protocol: Literal["saml"]
    name: Line | None = None
    entity_id: EntityId
    sso_url: ProviderAddress
    certificate: Certificate


IdentityProvider = OidcProvider | SamlProvider
IdentityProviderSpec = Annotated[IdentityProvider, Field(discriminator="protocol")]


def list_provider_addresses(spec: Application | IdentityProvider) -> dict[str, str]:
    """The addresses that a login provider may call, or that name one, by field. They must not lead into the installation's
    network."""
    names = ("back_channel_logout_uri", "slo_url", "issuer", "authorization_url", "token_url", "jwks_url", "sso_url")
    found = {name: getattr(spec, name, None) for name in names}
    return {name: address for name, address in found.items() if address is not None}


class AccountSpec(StrictModel):
    """A login account. `email` None: the person's. `existing`: an account of another tenant gets in here too; only a
    platform_admin may say so."""

    username: Username
    email: Email | None = None
    existing: bool = False


@dataclass(frozen=True)
class Account:
    """What a login provider shall hold of an account. `linked`: it belongs to another tenant, and becomes a member here as well."""

    username: str
    display_name: str
    email: str | None = None
    linked: bool = False


class AccountState(StrictModel):
    """The desired state of an account as it is stored. `open` False: it was closed by hand."""

    username: str
    email: str | None
    existing: bool
    open: bool = True
