"""Sends signed requests to a tenant's webhook endpoints (Standard Webhooks)."""

from dataclasses import dataclass
from datetime import datetime

import httpx
from servicekit.outbound import AddressRefused, OutboundClient, Resolve, Unreachable, UrlPolicy, resolve
from standardwebhooks import Webhook as Signer

from notification.model.retries import AttemptOutcome, parse_retry_after


@dataclass(frozen=True)
class WebhookRequest:
    """A request to send. `message_id` is the same at every attempt; `secrets`: the valid ones, newest first."""

    url: str
    message_id: str
    payload: str
    secrets: tuple[str, ...]


class WebhookSender:
    """Sends signed requests, only to addresses that the policy allows."""

    def __init__(self, policy: UrlPolicy, *, timeout_seconds: float, resolve: Resolve = resolve) -> None:
        self._outbound = OutboundClient(policy, timeout_seconds=timeout_seconds, resolve=resolve)

    async def send(self, post: WebhookRequest, *, now: datetime) -> AttemptOutcome:
        """Attempts to send a request once. `now` is the wall clock's time: receivers refuse old signatures."""
        signatures = [Signer(secret).sign(post.message_id, now, post.payload) for secret in post.secrets]
        headers = {
            "content-type": "application/json",
            "user-agent": "Uplift-Webhooks/1",
            "webhook-id": post.message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
        try:
            response = await self._outbound.post(post.url, content=post.payload.encode(), headers=headers)
        except AddressRefused as refused:
            return AttemptOutcome("failed", str(refused))
        except Unreachable as unreachable:
            return AttemptOutcome("retry", str(unreachable))
        return classify_response(response, now)


def classify_response(response: httpx.Response, now: datetime) -> AttemptOutcome:
    """The outcome for a response: 2xx is delivered, 410 is gone, everything else, redirects too, is retried."""
    status = response.status_code
    if 200 <= status < 300:
        return AttemptOutcome("delivered", status=status)
    if status == 410:
        return AttemptOutcome("gone", "410 Gone: the endpoint wants no more events", status)
    wait = parse_retry_after(response.headers.get("retry-after"), now)
    detail = f"{status}: redirects are not followed" if 300 <= status < 400 else f"answered {status}"
    return AttemptOutcome("retry", detail, status, wait)
