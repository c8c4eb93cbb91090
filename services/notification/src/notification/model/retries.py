"""When a delivery is retried, and the secrets that sign webhook requests."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from uuid import UUID

SCHEDULE_SECONDS = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Before the first attempt, the second, …: ten in three days, as the Standard Webhooks specification recommends."""
JITTER_RATIO = 0.1
MAX_DELAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class AttemptOutcome:
    """The outcome of an attempt. `gone`: the endpoint refuses all further events. `status`: the HTTP or SMTP code; None
    without a response."""

    state: Literal["delivered", "retry", "failed", "gone"]
    detail: str = ""
    status: int | None = None
    retry_after_seconds: float | None = None


def compute_delay_seconds(attempts: int, *, delivery: UUID, retry_after: float | None = None) -> float | None:
    """Seconds from attempt number `attempts` to the next; None after the last. At least `retry_after` seconds, up to
    MAX_DELAY_SECONDS. Jitter of up to JITTER_RATIO spreads deliveries that failed together."""
    if attempts >= len(SCHEDULE_SECONDS):
        return None
    jitter = int.from_bytes(hashlib.sha256(delivery.bytes + bytes([attempts])).digest()[:4]) / 0xFFFFFFFF
    delay = SCHEDULE_SECONDS[attempts] * (1 + JITTER_RATIO * jitter)
    return max(delay, min(retry_after or 0.0, MAX_DELAY_SECONDS))


def parse_retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds of the header `Retry-After`, a number or a date (RFC 9110, 10.2.3); None when it is missing or invalid."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header.strip()[:9])
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (at.astimezone(UTC) - now).total_seconds())


def derive_signing_secret(platform_secret: str, tenant: str, webhook: str, salt: str) -> str:
    """A webhook's secret, `whsec_` and 32 bytes in Base64 (Standard Webhooks): HMAC-SHA-256 of tenant, name and salt under
    the platform's secret. Only the salt is stored."""
    message = "\x1f".join(("webhook", tenant, webhook, salt))
    digest = hmac.new(platform_secret.encode(), message.encode(), hashlib.sha256).digest()
    return "whsec_" + base64.b64encode(digest).decode()
