"""What the guide to the API shows, works."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

GUIDE = (Path(__file__).parents[2] / "docs/guides/use-the-api.md").read_text(encoding="utf-8")
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
BODY = '{"type": "webhook.test"}'


def verify(headers: dict[str, str], body: str = BODY, secret: str = SECRET) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    names["verify"](secret, headers, body.encode())


def signed(at: datetime) -> dict[str, str]:
    signature = Webhook(SECRET).sign("msg-1", at, BODY)
    return {
        "webhook-id": "msg-1",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": f"v1,AAAA {signature}",
    }


def test_the_receiver_of_the_guide_takes_what_is_signed() -> None:
    verify(signed(datetime.now(UTC)))


def test_the_receiver_of_the_guide_refuses_all_else() -> None:
    now = datetime.now(UTC)
    for headers, body in ((signed(now), BODY + " "), (signed(now - timedelta(hours=1)), BODY)):
        with pytest.raises(ValueError, match=r"not signed|too old"):
            verify(headers, body)
