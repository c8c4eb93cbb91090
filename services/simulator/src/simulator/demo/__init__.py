"""The demo tenant: a blueprint of invented people whose calls are simulated."""

from simulator.demo.loader import (
    HISTORY_WEEKS,
    LOGINS,
    LONG_PASSWORD,
    PASSWORD,
    PHONE_SYSTEM,
    PHONE_SYSTEM_CLIENT,
    PHONE_SYSTEM_SECRET,
    TENANT,
    TENANT_NAME,
    Account,
    accounts,
    history_start,
    load_blueprint,
    tenant_start_time,
    token_path,
)

__all__ = [
    "HISTORY_WEEKS",
    "LOGINS",
    "LONG_PASSWORD",
    "PASSWORD",
    "PHONE_SYSTEM",
    "PHONE_SYSTEM_CLIENT",
    "PHONE_SYSTEM_SECRET",
    "TENANT",
    "TENANT_NAME",
    "Account",
    "accounts",
    "history_start",
    "load_blueprint",
    "tenant_start_time",
    "token_path",
]
