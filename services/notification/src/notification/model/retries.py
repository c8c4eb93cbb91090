"""When a delivery is tried again, and how a webhook is signed."""

import base64
import hashlib
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from uuid import UUID

SCHEDULE_SECONDS = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Before the first attempt, the second, …: ten in three days, as Standard Webhooks advises."""
JITTER_RATIO = 0.1
MAX_DELAY_SECONDS = 86_400.0


@dataclass(frozen=True)
class AttemptOutcome:
    """How one attempt went. `gone`: the other side wants no more of these. `status`: its HTTP or SMTP code."""

    state: Literal["delivered", "retry", "failed", "gone"]
    detail: str = ""
    status: int | None = None
    retry_after_seconds: float | None = None


def compute_delay_seconds(attempts: int, *, delivery: UUID, retry_after: float | None = None) -> float | None:
    """Seconds from attempt number `attempts` to the next; None when there is none left. Up to a tenth is added, so
    that deliveries which failed together do not come back together."""
    if attempts >= len(SCHEDULE_SECONDS):
        return None
    spread = int.from_bytes(hashlib.sha256(delivery.bytes + bytes([attempts])).digest()[:4]) / 0xFFFFFFFF
    delay = SCHEDULE_SECONDS[attempts] * (1 + JITTER_RATIO * spread)
    return max(delay, min(retry_after or 0.0, MAX_DELAY_SECONDS))


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """`Retry-After` as seconds: it comes as a number or as a date."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header.strip()[:9])
    try:
        at = parsedate_to_datetime(header)
    except ValueError:
        return None
    return max(0.0, (at.astimezone(UTC) - now).total_seconds())


def signing_secret(platform_secret: str, tenant: str, webhook: str, salt: str) -> str:
    """The endpoint's secret, `whsec_…` with 32 bytes. It is derived and so never stored: only the salt is."""
    whole = "\x1f".join(("webhook", tenant, webhook, salt))
    digest = hmac.new(platform_secret.encode(), whole.encode(), hashlib.sha256).digest()
    return "whsec_" + base64.b64encode(digest).decode()
