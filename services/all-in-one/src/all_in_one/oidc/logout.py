"""Telling clients that a session has ended (OpenID Connect Back-Channel Logout 1.0)."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urljoin

import httpx
from contracts.ids import new_id

from all_in_one.oidc.provider import Provider
from all_in_one.oidc.store import Ended

log = logging.getLogger("uplift.oidc")

EVENT = "http://schemas.openid.net/event/backchannel-logout"
_GOOD_FOR = timedelta(minutes=2)


async def deliver(url: str, logout_token: str) -> None:
    """Raises httpx.HTTPError when it was not taken."""
    async with httpx.AsyncClient(timeout=2) as http:
        (await http.post(url, data={"logout_token": logout_token})).raise_for_status()


async def tell(provider: Provider, ended: Sequence[Ended]) -> None:
    """All at once, and each once: whoever is away hears of it from expired tokens."""
    await asyncio.gather(*(_tell(provider, each) for each in ended))


async def _tell(provider: Provider, ended: Ended) -> None:
    claims = {"aud": ended.client_id, "sub": ended.sub, "sid": ended.sid, "jti": str(new_id()), "events": {EVENT: {}}}
    token = await provider.sign("logout+jwt", claims, _GOOD_FOR)
    try:
        await provider.deliver(urljoin(provider.issuer, ended.uri), token)
    except httpx.HTTPError as error:
        log.warning("%s was not told that a session has ended: %s", ended.client_id, error)
