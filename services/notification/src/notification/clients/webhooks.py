"""Posting events to a tenant's endpoint, signed."""

from dataclasses import dataclass
from datetime import datetime

import httpx
from servicekit.outbound import AddressRefused, OutboundClient, Resolve, Unreachable, UrlPolicy, resolve
from standardwebhooks import Webhook as Signer

from notification.model.retries import AttemptOutcome, retry_after_seconds


@dataclass(frozen=True)
class WebhookRequest:
    """`message_id` is the same at every attempt; `secrets` are those in force, the newest first."""

    url: str
    message_id: str
    payload: str
    secrets: tuple[str, ...]


class WebhookSender:
    """Posts signed requests, to addresses that the policy allows only."""

    def __init__(self, policy: UrlPolicy, *, timeout_seconds: float, resolve: Resolve = resolve) -> None:
        self._outbound = OutboundClient(policy, timeout_seconds=timeout_seconds, resolve=resolve)

    async def send(self, post: WebhookRequest, *, now: datetime) -> AttemptOutcome:
        """One attempt. `now` is the real time: receivers refuse signatures that are not fresh."""
        signatures = [Signer(secret).sign(post.message_id, now, post.payload) for secret in post.secrets]
        headers = {
            "content-type": "application/json",
            "user-agent": "Uplift-Webhooks/1",
            "webhook-id": post.message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        try:
            answer = await self._outbound.post(post.url, content=post.payload.encode(), headers=headers)
        except AddressRefused as refused:
            return AttemptOutcome("failed", str(refused))
        except Unreachable as unreachable:
            return AttemptOutcome("retry", str(unreachable))
        return classify_response(answer, now)


def classify_response(response: httpx.Response, now: datetime) -> AttemptOutcome:
    """2xx is delivered, 410 is the end, all else, redirects too, is tried again."""
    status = response.status_code
    if 200 <= status < 300:
        return AttemptOutcome("delivered", status=status)
    if status == 410:
        return AttemptOutcome("gone", "410 Gone: the endpoint wants no more events", status)
    wait = retry_after_seconds(response.headers.get("retry-after"), now)
    detail = f"{status}: redirects are not followed" if 300 <= status < 400 else f"answered {status}"
    return AttemptOutcome("retry", detail, status, wait)
