"""The login provider as identity sees it, and how what is secret is kept until the provider has it."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from joserfc import jwe
from joserfc.jwk import OctKey
from servicekit.errors import Conflict

from identity.model.applications import Account, Application, IdentityProvider


class ProviderRefused(Conflict):
    """The provider does not take it as it is; asking again will not help."""


@dataclass(frozen=True)
class ExistingAccount:
    """An account that is there: by what its tokens know it, and the tenant whose it is."""

    sub: str
    tenant: str | None


@dataclass(frozen=True)
class Provider(ABC):
    """Everything is brought about, never just created: asked for again it changes nothing. Raises Refused, or Unavailable
    when the provider is away or ails. `client_secret` is that of the service account by which identity gets in."""

    url: str
    client_id: str
    client_secret: str = field(repr=False)

    def require_supported(self, wanted: Application | IdentityProvider) -> None:  # noqa: B027
        """Raises Conflict for what this kind of provider can never do."""

    @abstractmethod
    async def ensure_organization(self, tenant: str, *, name: str, enabled: bool) -> None: ...

    @abstractmethod
    async def ensure_application(
        self, tenant: str, slug: str, application: Application, *, secret: str | None
    ) -> str | None:
        """Returns the `sub` of a machine's tokens."""

    @abstractmethod
    async def remove_application(self, tenant: str, slug: str, application: Application) -> None: ...

    @abstractmethod
    async def ensure_broker(self, tenant: str, provider: IdentityProvider, *, secret: str | None) -> None: ...

    @abstractmethod
    async def remove_broker(self, tenant: str) -> None: ...

    @abstractmethod
    async def find_account(self, username: str) -> ExistingAccount | None:
        """The account of this username, whosever it is."""

    @abstractmethod
    async def ensure_account(self, tenant: str, account: Account, *, password: str | None) -> str:
        """The account is open. Returns its `sub`; `password` must be changed at the first login."""

    @abstractmethod
    async def close_account(self, tenant: str, account: Account) -> None:
        """Its sessions end. Of another tenant's account only what it has here ends."""

    def seal(self, text: str) -> str:
        """Only who knows the service account's secret can open it, and so could set it anyway."""
        return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, text, self._key())

    def unseal(self, sealed: str) -> str:
        """Raises joserfc.errors.JoseError when the service account's secret has changed since."""
        plain = jwe.decrypt_compact(sealed, self._key()).plaintext
        return (plain or b"").decode()

    def _key(self) -> OctKey:
        return OctKey.import_key(hashlib.sha256(b"uplift sealing " + self.client_secret.encode()).digest())
