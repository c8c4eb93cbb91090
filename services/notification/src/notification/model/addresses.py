"""Where a webhook may lead: never inside."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))

Address = IPv4Address | IPv6Address


def is_public(address: Address) -> bool:
    """Whether an address is out on the internet, also when an IPv4 address is wrapped into an IPv6 one."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        if address.sixtofour or address.teredo or any(address in network for network in _NAT64):
            return False
    return address.is_global and not address.is_multicast


@dataclass(frozen=True)
class UrlPolicy:
    """HTTPS to public addresses on `ports`; with `allow_loopback` also plain HTTP and any port, on loopback only."""

    allow_loopback: bool = False
    ports: tuple[int, ...] = (443, 8443)

    def problem(self, url: str) -> tuple[str, str] | None:
        """What is wrong with a URL, before its name is looked up, and the cure."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            return "this is no URL", "e.g. https://example.org/hooks"
        if not host or any(character.isspace() or ord(character) < 33 for character in url):
            return "this is no URL", "e.g. https://example.org/hooks"
        if parts.username is not None or parts.password is not None or parts.fragment:
            return "a URL with a login or a fragment is not taken", "the signature shows who is calling"
        address = _literal(host)
        if self.allow_loopback and parts.scheme in ("http", "https") and (_is_loopback(address) or host == "localhost"):
            return None
        if parts.scheme != "https":
            return "webhooks go by HTTPS only", "https://…"
        if (port or 443) not in self.ports:
            return f"port {port} is not open to webhooks", "one of: " + ", ".join(map(str, self.ports))
        if address is not None and not is_public(address):
            return f"{host} is not a public address", "an address that can be reached from the internet"
        return None

    def may_connect(self, scheme: str, address: Address) -> bool:
        """Whether an address that a name stands for may be connected to."""
        if self.allow_loopback and address.is_loopback:
            return True
        return scheme == "https" and is_public(address)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_loopback(address: Address | None) -> bool:
    return address is not None and address.is_loopback
