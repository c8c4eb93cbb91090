"""Addresses that a tenant gives: none leads inside, crashes who calls it, keeps it waiting, or tells what is there."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest
from servicekit.outbound import AddressRefused, OutboundClient, Unreachable, UrlPolicy, is_public

INSIDE = {
    "loopback": "127.0.0.1", "loopback, elsewhere in it": "127.8.9.10", "this host": "0.0.0.0", "short": "127.1",
    "shorter": "0", "decimal": "2130706433", "hexadecimal": "0x7f000001", "hexadecimal parts": "0x7f.0.0.0x1",
    "octal": "0177.0.0.1", "octal with noughts": "00000177.00.00.01", "mixed": "0x7f.1", "closing dot": "127.0.0.1.",
    "decimal and dot": "2130706433.", "private 10": "10.0.0.1", "private 172": "172.16.3.4",
    "private 192": "192.168.1.1", "carrier": "100.64.0.1", "metadata": "169.254.169.254",
    "metadata, decimal": "2852039166", "metadata, octal": "0251.0376.0251.0376", "metadata, hex": "0xa9fea9fe",
    "metadata of Alibaba": "100.100.100.200", "agent of Azure": "168.63.129.16", "relay": "192.88.99.1",
    "multicast": "224.0.0.1", "broadcast": "255.255.255.255", "reserved": "240.0.0.1", "documentation": "192.0.2.1",
    "benchmark": "198.18.0.1", "IPv6 loopback": "[::1]", "IPv6 loopback in full": "[0:0:0:0:0:0:0:1]",
    "IPv6 unspecified": "[::]", "mapped": "[::ffff:127.0.0.1]", "mapped, hexadecimal": "[::ffff:7f00:1]",
    "mapped metadata": "[::ffff:169.254.169.254]", "compatible": "[::127.0.0.1]", "translated": "[::ffff:0:127.0.0.1]",
    "NAT64": "[64:ff9b::7f00:1]", "local NAT64": "[64:ff9b:1::7f00:1]", "6to4": "[2002:7f00:1::]",
    "Teredo": "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "link local": "[fe80::1]", "with a zone": "[fe80::1%25eth0]",
    "site local": "[fec0::1]", "unique local": "[fd00:ec2::254]", "IPv6 multicast": "[ff02::1]",
    "IPv6 documentation": "[2001:db8::1]", "discard": "[100::1]", "segment routing": "[5f00::1]",
    "localhost": "localhost", "localhost, shouted": "LOCALHOST", "localhost and dot": "localhost.",
    "below localhost": "a.localhost", "one word": "keycloak", "in the cluster": "identity.uplift.svc.cluster.local",
    "service": "identity.uplift.svc", "cloud's own": "metadata.google.internal", "router": "fritz.home.arpa",
    "circled digits": "①②⑦.⓪.⓪.①", "wide digits": "１２７.０.０.１", "ideographic dots": "127。0。0。1",
    "wide letters": "ｌｏｃａｌｈｏｓｔ", "circled letters": "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
}  # fmt: skip
"""Hosts."""

BROKEN = {
    "nothing": "", "no host": "https://", "no host but a port": "https://:443/", "word": "nonsense", "only a path": "/x",
    "no scheme": "//example.org/x", "other scheme": "gopher://example.org/", "file": "file:///etc/passwd",
    "data": "data:text/plain,x", "clear text": "http://example.org/", "user": "https://user@example.org/",
    "user and password": "https://user:pw@example.org/", "empty user": "https://@example.org/",
    "host in the user": "https://example.org@127.0.0.1/", "backslash": "https://example.org\\@127.0.0.1/",
    "fragment": "https://example.org/#x", "empty fragment": "https://example.org/#", "port 0": "https://example.org:0/",
    "database": "https://example.org:5432/", "mail": "https://example.org:25/", "no port at all": "https://example.org:x/",
    "port beyond": "https://example.org:99999/", "port below": "https://example.org:-1/",
    "port in other digits": "https://example.org:４４３/", "space": "https://exa mple.org/",
    "line": "https://example.org/\r\nHost: inside", "tab": "https://exam\tple.org/", "nul": "https://example.org/\x00",
    "delete": "https://example.org/\x7f", "long label": f"https://{'a' * 64}.org/", "long name": f"https://{'a.' * 127}org/",
    "empty label": "https://a..org/", "leading dot": "https://.example.org/", "only dots": "https://.../",
    "two dots at the end": "https://example.org../", "leading hyphen": "https://-a.example.org/",
    "wildcard": "https://*.example.org/", "bad punycode": "https://xn--\u00e4.example.org/", "surrogate": "https://\ud800.org/",
    "right to left": "https://example\u202e.org/", "zero width": "https://exa\u200bmple.org\u2028/",
    "four numbers too large": "https://999.1.1.1/", "five numbers": "https://1.2.3.4.5/", "not octal": "https://0189.1.1.1/",
    "hexadecimal nonsense": "https://example.0xzz.0x/", "open bracket": "https://[::1/", "brackets around a name": "https://[a]/",
    "percent": "https://%31%32%37.0.0.1/", "too long": f"https://example.org/{'a' * 2000}",
}  # fmt: skip
"""URLs."""

FINE = [
    "https://example.org", "https://example.org/hooks?x=1&y=%20", "https://example.org:443/", "https://example.org:8443/x",
    "https://EXAMPLE.org./x", "https://93.184.216.34/", "https://[2606:2800:220:1:248:1893:25c8:1946]/", "https://bücher.example/",
    "https://xn--bcher-kva.example/", "https://a-b.c_d.example.co.uk/",
]  # fmt: skip


async def nowhere(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


@pytest.mark.parametrize("url", [*(f"https://{host}/x" for host in INSIDE.values()), *BROKEN.values()],
                         ids=[*INSIDE, *BROKEN])  # fmt: skip
async def test_a_hostile_address_is_neither_saved_nor_called(url: str) -> None:
    problem = UrlPolicy().find_problem(url)
    assert problem is not None
    assert all(problem), "what is wrong and the cure"
    with pytest.raises(AddressRefused):
        await OutboundClient(UrlPolicy(), timeout_seconds=5, resolve=nowhere).post(url, content=b"", headers={})
    with pytest.raises(AddressRefused):
        await OutboundClient(UrlPolicy(), timeout_seconds=5, resolve=nowhere).require_allowed(url)


@pytest.mark.parametrize("url", FINE)
def test_addresses_on_the_internet_are_taken(url: str) -> None:
    assert UrlPolicy().find_problem(url) is None


def found(*addresses: str) -> Callable[[str, int], Awaitable[list[str]]]:
    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


LITERALS = [each.strip("[]").replace("%25", "%") for each in INSIDE.values()]


def is_literal(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("address", [each for each in LITERALS if each.isascii() and is_literal(each)])
async def test_a_name_that_leads_inside_is_not_called_and_tells_nothing(address: str) -> None:
    assert not is_public(ip_address(address.partition("%")[0]))
    for addresses in ([address], ["93.184.216.34", address]):
        told = []
        for resolve in (found(*addresses), found()):
            with pytest.raises(Unreachable) as refused:
                outbound = OutboundClient(UrlPolicy(), timeout_seconds=5, resolve=resolve)
                await outbound.post("https://rebound.example.org/", content=b"", headers={})
            told.append(str(refused.value))
        assert told == ["rebound.example.org leads to no address that is public"] * 2


async def test_names_that_crash_the_look_up_are_unreachable() -> None:
    async def crashes(host: str, port: int) -> list[str]:
        raise UnicodeError("label too long")

    with pytest.raises(Unreachable):
        await OutboundClient(UrlPolicy(), timeout_seconds=5, resolve=crashes).post(
            "https://a.org", content=b"", headers={}
        )


@asynccontextmanager
async def server(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> AsyncIterator[tuple[int, list[bytes]]]:
    heard: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        try:
            await answer(writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1], heard
    finally:
        listening.close()


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 10_000)
        await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)  # sleep: a server that drips


async def many_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x: " + b"y" * 10_000 + b"\r\n")
        await writer.drain()


async def nonsense(writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.6 secret banner\r\n")
    await writer.drain()


async def elsewhere(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n")
    await writer.drain()


@pytest.mark.parametrize(
    ("answer", "status"), [(endless, 200), (dripping, None), (many_headers, None), (nonsense, None), (elsewhere, 302)]
)
async def test_an_attempt_ends_whatever_answers(
    answer: Callable[[asyncio.StreamWriter], Awaitable[None]], status: int | None
) -> None:
    outbound = OutboundClient(UrlPolicy(allow_loopback=True), timeout_seconds=2, resolve=found("127.0.0.1"))
    async with server(answer) as (port, heard):
        url, began = f"http://hook.localhost:{port}/x", time.monotonic()
        if status is not None:
            assert (await outbound.post(url, content=b"{}", headers={})).status_code == status
        else:
            with pytest.raises(Unreachable) as told:
                await outbound.post(url, content=b"{}", headers={})
            assert "secret" not in str(told.value)
            assert "127.0.0.1" not in str(told.value)
    assert time.monotonic() - began < 20
    assert len(heard) == 1, "no redirect was followed"
    assert f"host: hook.localhost:{port}".encode() in heard[0].lower(), "the name stays in the Host header"


def test_what_the_settings_for_development_let_in() -> None:
    loopback, private = UrlPolicy(allow_loopback=True), UrlPolicy(allow_private=True)
    assert loopback.find_problem("http://127.0.0.1:9/x") is None
    assert loopback.find_problem("http://[::1]:9/x") is None
    assert loopback.find_problem("http://10.0.0.1:9/x") is not None
    for url in ("http://127.0.0.1:9/x", "http://10.0.0.1:9/x", "http://keycloak:8080/x", "http://[fd00::1]:9/x"):
        assert private.find_problem(url) is None
    for policy in (loopback, private):
        for host in ("169.254.169.254", "[fe80::1]", "0.0.0.0", "224.0.0.1", "[::ffff:169.254.169.254]"):
            assert policy.find_problem(f"http://{host}/x") is not None
        assert policy.find_problem("http://user@127.0.0.1/x") is not None
    assert not private.may_connect("http", ip_address("169.254.169.254"))
