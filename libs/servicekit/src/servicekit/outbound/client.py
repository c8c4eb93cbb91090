"""A client for URLs that tenants configure. Their servers are not trusted: a name may resolve to an internal address, and
an answer may be slow, endless or a redirect."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address

import httpx

from servicekit.outbound.addresses import Address, UrlPolicy, parse_host

_MAX_RESPONSE_BYTES = 64_000
# Own threads for name resolution, so that a tenant's slow name server does not block asyncio's default threads.
_lookups = ThreadPoolExecutor(8, thread_name_prefix="lookup")

Resolve = Callable[[str, int], Awaitable[list[str]]]


class AddressRefused(Exception):
    """The policy does not allow this URL."""


class Unreachable(Exception):
    """There was no valid response. A later attempt may succeed."""


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host name. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(_lookups, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return [str(each[4][0]) for each in found]


class OutboundClient:
    """Sends requests to URLs that the policy allows. Every call checks the URL and its resolved addresses again."""

    def __init__(self, policy: UrlPolicy, *, timeout_seconds: float, resolve: Resolve = resolve) -> None:
        self._policy = policy
        self._timeout = timeout_seconds
        self._resolve = resolve
        self._tls: ssl.SSLContext | None = None

    async def require_allowed(self, url: str) -> None:
        """Checks a URL that another program will call. Raises AddressRefused, or Unreachable when the name does not resolve
        to allowed addresses."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._addresses(url)
        except TimeoutError as error:
            raise Unreachable(f"{httpx.URL(url).host} was not found within {self._timeout:g} s") from error

    async def post(self, url: str, *, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        """Posts `content` and returns the response's status and headers; its body is discarded. Does not follow redirects.
        Raises AddressRefused, Unreachable."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(url, content, headers)
        except TimeoutError as error:
            raise Unreachable(f"no answer within {self._timeout:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            # The error's text is left out: it may reveal internal addresses, or what listens there.
            raise Unreachable(f"it cannot be reached, or does not speak HTTP ({type(error).__name__})") from error

    async def _addresses(self, url: str) -> list[Address]:
        if problem := self._policy.find_problem(url):
            raise AddressRefused(problem[0])
        parsed = httpx.URL(url)
        port = parsed.port or (443 if parsed.scheme == "https" else 80)
        host = str(parse_host(parsed.raw_host.decode("ascii")))
        try:
            found = [ip_address(each.partition("%")[0]) for each in await self._resolve(host, port)]
        except (OSError, ValueError):
            found = []
        # One text for all cases: it must not reveal what an internal name resolves to, or that it exists.
        if not found or not all(self._policy.may_connect(parsed.scheme, each) for each in found):
            raise Unreachable(f"{host} leads to no address that is public")
        return found

    async def _post(self, url: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        # The name is resolved once, and the connection goes to the checked address: a second lookup while connecting could
        # return another one (DNS rebinding).
        address, *_ = await self._addresses(url)
        parsed = httpx.URL(url)
        if parsed.scheme == "https" and self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        async with httpx.AsyncClient(
            verify=self._tls or False, trust_env=False, follow_redirects=False, timeout=self._timeout
        ) as client:
            async with client.stream(
                "POST",
                parsed.copy_with(host=str(address)),
                content=content,
                headers={"host": parsed.netloc.decode(), **headers},
                extensions={"sni_hostname": str(parse_host(parsed.raw_host.decode("ascii")))},
            ) as response:
                received = 0
                async for chunk in response.aiter_raw():
                    received += len(chunk)
                    if received > _MAX_RESPONSE_BYTES:
                        break
        return response
