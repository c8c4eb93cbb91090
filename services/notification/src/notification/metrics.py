"""Notification's own metrics: notices."""

from typing import Final

from prometheus_client import Counter

NOTICES: Final = Counter("uplift_notices", "Notices written to people's inboxes")
METRICS: Final = (NOTICES,)
