"""Notifies clients of ended sessions (OpenID Connect Back-Channel Logout 1.0)."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from urllib.parse import urlencode, urljoin

import httpx
from contracts.ids import new_id
from servicekit.outbound import AddressRefused, OutboundClient, Unreachable, UrlPolicy

from dev_idp.provider import Provider
from dev_idp.store import EndedSession

log = logging.getLogger("uplift.oidc")

EVENT = "http://schemas.openid.net/event/backchannel-logout"
_LOGOUT_TOKEN_TTL = timedelta(minutes=2)
_ATTEMPT_SECONDS = 2


class LogoutTokenSender:
    """Posts a logout token to a client of this installation, or of a tenant if the policy allows its address."""

    def __init__(self, policy: UrlPolicy) -> None:
        self._outbound = OutboundClient(policy, timeout_seconds=_ATTEMPT_SECONDS)

    async def __call__(self, url: str, logout_token: str, *, tenant: str | None) -> None:
        """Raises httpx.HTTPError, AddressRefused or Unreachable when the client did not accept it."""
        form = {"logout_token": logout_token}
        if tenant is None:
            async with httpx.AsyncClient(timeout=_ATTEMPT_SECONDS) as http:
                (await http.post(url, data=form)).raise_for_status()
            return
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = await self._outbound.post(url, content=urlencode(form).encode(), headers=headers)
        if not answer.is_success:
            raise Unreachable(f"answered {answer.status_code}")


async def notify_clients(provider: Provider, ended: Sequence[EndedSession]) -> None:
    """Notifies all clients concurrently, without retries: a client that is down notices when its tokens expire."""
    await asyncio.gather(*(_notify_client(provider, each) for each in ended))


async def _notify_client(provider: Provider, ended: EndedSession) -> None:
    claims = {"aud": ended.client_id, "sub": ended.sub, "sid": ended.sid, "jti": str(new_id()), "events": {EVENT: {}}}
    token = await provider.issue_jwt("logout+jwt", claims, _LOGOUT_TOKEN_TTL)
    try:
        await provider.send_logout_token(urljoin(provider.issuer, ended.uri), token, tenant=ended.tenant)
    except (httpx.HTTPError, AddressRefused, Unreachable) as error:
        log.warning("%s was not told that a session has ended: %s", ended.client_id, error)
