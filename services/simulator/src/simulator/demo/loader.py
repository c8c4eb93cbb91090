"""The demo tenant's blueprint, whose dates are relative to the first day of the simulated history; its accounts and passwords."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib import resources
from typing import Any

import yaml

HISTORY_WEEKS = 8
TENANT = "demo"
TENANT_NAME = "Demo contact centre (simulated)"
PHONE_SYSTEM = "phone-system"
PASSWORD = "demo"  # noqa: S105  public: the demo's provider listens on loopback only
LONG_PASSWORD = "demo-demo-demo"  # noqa: S105  of the length that Keycloak's realm requires
PHONE_SYSTEM_CLIENT = f"{TENANT}.{PHONE_SYSTEM}"
"""The phone system's client id in Keycloak."""
PHONE_SYSTEM_SECRET = "demo-phone-system"  # noqa: S105
LOGINS = ("agent", "lead", "trainer", "analyst", "admin")
"""The logins shown to visitors; everybody else in the demo has an account too."""

_DAY = re.compile(r"day\(([+-]?\d+)\)")


@dataclass(frozen=True)
class Account:
    """An account that the demo's identity provider needs; `sub` equals `username`."""

    username: str
    display_name: str
    listed: bool


def token_path(realm: str) -> str:
    """The path of the token endpoint of a Keycloak realm."""
    return f"/realms/{realm}/protocol/openid-connect/token"


def history_start(today: date) -> date:
    """The Monday `HISTORY_WEEKS` weeks before the week of `today`."""
    return today - timedelta(days=today.weekday(), weeks=HISTORY_WEEKS)


def tenant_start_time(start: date) -> datetime:
    """The tenant's clock at its creation: 04:00 UTC on the first day of history."""
    return datetime.combine(start, time(4), UTC)


def load_blueprint(start: date) -> dict[str, Any]:
    """The bundle as JSON values, for `PUT /tenants/{tenant}/blueprint`. `day(n)` becomes the date `n` days after `start`."""
    return _resolve_dates(yaml.safe_load(_read_template()), start)


def accounts(bundle: Mapping[str, Any]) -> list[Account]:
    """The accounts of all people of a bundle who have a login."""
    return [
        Account(person["login"], person["display_name"], person["login"] in LOGINS)
        for person in bundle["sections"]["identity"]["people"]
        if person.get("kind", "person") == "person" and "login" in person
    ]


def _resolve_dates(value: Any, start: date) -> Any:
    if isinstance(value, dict):
        return {key: _resolve_dates(each, start) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolve_dates(each, start) for each in value]
    if isinstance(value, str) and (found := _DAY.fullmatch(value)):
        return (start + timedelta(days=int(found[1]))).isoformat()
    return value


@cache
def _read_template() -> str:
    return resources.files("simulator.demo").joinpath("blueprint.yaml").read_text(encoding="utf-8")
