"""The interface of a login provider, and the encryption of secrets until the provider has them."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from joserfc import jwe
from joserfc.jwk import OctKey
from servicekit.errors import Conflict

from identity.model.applications import Account, Application, IdentityProvider


class ProviderRefused(Conflict):
    """The provider refuses the resource as it is; a retry does not help."""


@dataclass(frozen=True)
class ExistingAccount:
    """An account at the provider: the subject of its tokens, and the tenant it belongs to (None: unknown)."""

    sub: str
    tenant: str | None


@dataclass(frozen=True)
class Provider(ABC):
    """Every operation is idempotent. Each raises ProviderRefused, or Unavailable when the provider cannot be reached or fails.
    `client_id` and `client_secret` are those of identity's service account."""

    url: str
    client_id: str
    client_secret: str = field(repr=False)

    def require_supported(self, spec: Application | IdentityProvider) -> None:  # noqa: B027
        """Raises Conflict for what this kind of provider does not support."""

    @abstractmethod
    async def ensure_organization(self, tenant: str, *, name: str, enabled: bool) -> None:
        """Creates or updates the tenant's organization."""

    @abstractmethod
    async def ensure_application(
        self, tenant: str, slug: str, application: Application, *, secret: str | None
    ) -> str | None:
        """Creates or updates an application. `secret` None: it stays. Returns the `sub` of a machine's tokens, else None."""

    @abstractmethod
    async def remove_application(self, tenant: str, slug: str, application: Application) -> None:
        """Removes an application, if it exists."""

    @abstractmethod
    async def ensure_broker(self, tenant: str, provider: IdentityProvider, *, secret: str | None) -> None:
        """Creates or updates the tenant's own identity provider. `secret` None: its client secret stays."""

    @abstractmethod
    async def remove_broker(self, tenant: str) -> None:
        """Removes the tenant's own identity provider, if it exists."""

    @abstractmethod
    async def find_account(self, username: str) -> ExistingAccount | None:
        """The account of this username, of whatever tenant; None when there is none."""

    @abstractmethod
    async def ensure_account(self, tenant: str, account: Account, *, password: str | None) -> str:
        """Creates, updates and enables the account. Returns its `sub`. `password`: a temporary one, to be changed at the first
        login; None: it stays."""

    @abstractmethod
    async def close_account(self, tenant: str, account: Account) -> None:
        """Disables the account and ends its sessions. Of another tenant's account only the membership here ends."""

    def seal(self, text: str) -> str:
        """Encrypts a secret. The key is derived from the service account's secret: whoever knows that could set the secret anyway."""
        return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, text, self._key())

    def unseal(self, sealed: str) -> str:
        """Decrypts a secret. Raises joserfc.errors.JoseError when the service account's secret has changed since."""
        plain = jwe.decrypt_compact(sealed, self._key()).plaintext
        return (plain or b"").decode()

    def _key(self) -> OctKey:
        return OctKey.import_key(hashlib.sha256(b"uplift sealing " + self.client_secret.encode()).digest())
