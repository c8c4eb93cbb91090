"""Posting to a tenant's endpoint, which may lie about where it is, answer slowly, or lead elsewhere."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address

import httpx
from standardwebhooks import Webhook as Signer

from notification.model.addresses import Address, UrlPolicy
from notification.model.retries import Outcome, retry_after_seconds

_MOST_ANSWER_BYTES = 64_000

Resolve = Callable[[str, int], Awaitable[list[str]]]


@dataclass(frozen=True)
class Post:
    """`message_id` is the same at every attempt; `secrets` are those in force, the newest first."""

    url: str
    message_id: str
    payload: str
    secrets: tuple[str, ...]


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a name. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


class WebhookSender:
    def __init__(self, policy: UrlPolicy, *, timeout_seconds: float, resolve: Resolve = resolve) -> None:
        self._policy = policy
        self._timeout = timeout_seconds
        self._resolve = resolve
        self._tls = ssl.create_default_context()

    async def send(self, post: Post, *, now: datetime) -> Outcome:
        """One attempt. `now` is the real time: receivers refuse signatures that are not fresh."""
        if problem := self._policy.problem(post.url):
            return Outcome("failed", problem[0])
        try:
            async with asyncio.timeout(self._timeout):
                return await self._send(post, now)
        except TimeoutError:
            return Outcome("retry", f"no answer within {self._timeout:g} s")
        except (httpx.HTTPError, OSError, ssl.SSLError) as error:
            return Outcome("retry", f"{type(error).__name__}: {error}"[:300])

    async def _send(self, post: Post, now: datetime) -> Outcome:
        url = httpx.URL(post.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        # The name is looked up once and the connection goes to what was found and checked: looking it up again while
        # connecting could find another address.
        addresses = [_address(each) for each in await self._resolve(url.host, port)]
        refused = [each for each in addresses if not self._policy.may_connect(url.scheme, each)]
        if refused or not addresses:
            return Outcome("retry", f"{url.host} leads to {refused[0] if refused else 'nothing'}, which is not public")
        signatures = [Signer(secret).sign(post.message_id, now, post.payload) for secret in post.secrets]
        headers = {
            "host": url.netloc.decode(),
            "content-type": "application/json",
            "user-agent": "Uplift-Webhooks/1",
            "webhook-id": post.message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        async with httpx.AsyncClient(
            verify=self._tls, trust_env=False, follow_redirects=False, timeout=self._timeout
        ) as client:
            async with client.stream(
                "POST",
                url.copy_with(host=str(addresses[0])),
                content=post.payload.encode(),
                headers=headers,
                extensions={"sni_hostname": url.host},
            ) as response:
                taken = 0
                async for chunk in response.aiter_raw():
                    taken += len(chunk)
                    if taken > _MOST_ANSWER_BYTES:
                        break
        return judged(response, now)


def judged(response: httpx.Response, now: datetime) -> Outcome:
    """2xx is delivered, 410 is the end, all else, redirects too, is tried again."""
    status = response.status_code
    if 200 <= status < 300:
        return Outcome("delivered", status=status)
    if status == 410:
        return Outcome("gone", "410 Gone: the endpoint wants no more events", status)
    wait = retry_after_seconds(response.headers.get("retry-after"), now)
    detail = f"{status}: redirects are not followed" if 300 <= status < 400 else f"answered {status}"
    return Outcome("retry", detail, status, wait)


def _address(text: str) -> Address:
    return ip_address(text.partition("%")[0])
