"""The login provider as identity is told of it, and how what is secret is kept until the provider has it."""

import hashlib
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from joserfc import jwe
from joserfc.jwk import OctKey

from identity.clients.keycloak.connection import Keycloak, connect


@dataclass(frozen=True)
class Provider:
    """A Keycloak, and the service account by which identity keeps it in step."""

    url: str
    realm: str
    client_id: str
    client_secret: str = field(repr=False)

    def connected(self) -> AbstractAsyncContextManager[Keycloak]:
        credentials = {"client_id": self.client_id, "client_secret_key": self.client_secret}
        return connect(self.url, self.realm, credentials)

    def seal(self, text: str) -> str:
        """Only who knows the service account's secret can open it, and so could set it anyway."""
        return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, text, self._key())

    def unseal(self, sealed: str) -> str:
        """Raises joserfc.errors.JoseError when the service account's secret has changed since."""
        plain = jwe.decrypt_compact(sealed, self._key()).plaintext
        return (plain or b"").decode()

    def _key(self) -> OctKey:
        return OctKey.import_key(hashlib.sha256(b"uplift sealing " + self.client_secret.encode()).digest())
