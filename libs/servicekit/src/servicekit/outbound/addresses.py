"""Which URLs of tenants may be called: none that lead to an internal network."""

import re
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

import httpx
import idna

Address = IPv4Address | IPv6Address

_MAX_URL_CHARACTERS = 2000
# Global by the IANA registries, but not the public internet: 6to4 relays, and Azure's host agent.
_INTERNAL_V4 = (IPv4Network("192.88.99.0/24"), IPv4Network("168.63.129.16/32"))
_UNICAST_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = (IPv6Network("2001::/23"), IPv6Network("2002::/16"), IPv6Network("3fff::/20"))
_NAME = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_INTERNAL_DOMAINS = frozenset(
    {
        "arpa",
        "cluster",
        "corp",
        "home",
        "internal",
        "intranet",
        "lan",
        "local",
        "localdomain",
        "localhost",
        "private",
        "svc",
    }
)
_EXAMPLE = "e.g. https://example.org/hooks"


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet. An IPv4-mapped IPv6 address counts as its IPv4 address; other IPv6
    addresses that embed an IPv4 one are not public."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped:
            return is_public(address.ipv4_mapped)
        inside = address not in _UNICAST_V6 or any(address in network for network in _SPECIAL_V6)
    else:
        inside = any(address in network for network in _INTERNAL_V4)
    return not inside and address.is_global and not address.is_multicast


def is_private_network(address: Address) -> bool:
    """Whether an address is loopback or in a private network. Link-local ones, such as a cloud's metadata service, are not."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return is_private_network(address.ipv4_mapped)
    never = address.is_link_local or address.is_multicast or address.is_unspecified or address.is_reserved
    return address.is_loopback or (address.is_private and not never)


@dataclass(frozen=True)
class UrlPolicy:
    """Which URLs may be called: HTTPS on `ports` of public addresses. For development, `allow_loopback` also allows plain
    HTTP and any port on loopback, and `allow_private` on private networks too."""

    allow_loopback: bool = False
    ports: tuple[int, ...] = (443, 8443)
    allow_private: bool = False

    def find_problem(self, url: str) -> tuple[str, str] | None:
        """What is wrong with a URL, and the cure; None when it is allowed. Does not resolve its host name."""
        try:
            parts, parsed = urlsplit(url), httpx.URL(url)
            port, host = parts.port, parse_host(parts.hostname or "")
            same = host == parse_host(parsed.raw_host.decode("ascii"))
        except (ValueError, httpx.InvalidURL):
            return "this is no URL", _EXAMPLE
        unclear = any(character.isspace() or not character.isprintable() or character == "\\" for character in url)
        if unclear or not same or len(url) > _MAX_URL_CHARACTERS or parts.scheme not in ("http", "https"):
            return "this is no URL", _EXAMPLE
        if "@" in parts.netloc or "#" in url:
            return "a URL with a login or a fragment is not taken", "write the address alone"
        if self._is_allowed_internal_host(host):
            return None
        if parts.scheme != "https":
            return "it is not encrypted: addresses are called by HTTPS only", "https://…"
        if (443 if port is None else port) not in self.ports:
            return f"port {port} is not open", "one of: " + ", ".join(map(str, self.ports))
        if isinstance(host, str):
            inside = "." not in host or host.rpartition(".")[2] in _INTERNAL_DOMAINS
            if inside and not self.allow_private:
                return f"{host} is a name of a network inside", "a name that is known on the internet"
        elif not is_public(host):
            return f"{parts.hostname} is not a public address", "an address that can be reached from the internet"
        return None

    def _is_allowed_internal_host(self, host: Address | str) -> bool:
        if isinstance(host, str):
            return self.allow_private or (self.allow_loopback and host.rpartition(".")[2] == "localhost")
        return self._is_allowed_internal(host)

    def _is_allowed_internal(self, address: Address) -> bool:
        return (self.allow_loopback and address.is_loopback) or (self.allow_private and is_private_network(address))

    def may_connect(self, scheme: str, address: Address) -> bool:
        """Whether a client may connect to this resolved address by `scheme`."""
        return self._is_allowed_internal(address) or (scheme == "https" and is_public(address))


def parse_host(host: str) -> Address | str:
    """A URL's host as an address, in any form that resolvers accept, or as a name in ASCII without a trailing dot. Raises
    ValueError when it is neither."""
    text = host.strip("[]").lower().removesuffix(".")
    if not text.isascii():
        text = idna.encode(text, uts46=True).decode("ascii").removesuffix(".")
    try:
        if "%" not in text:
            return ip_address(text)
    except ValueError:
        pass
    if re.fullmatch(r"\d+|0x[0-9a-f]*", text.rpartition(".")[2]):
        try:
            return IPv4Address(socket.inet_aton(text))
        except OSError as error:
            raise ValueError(f"{text} is no address") from error
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text} is no name")
    return text
