"""The demo tenant: a blueprint of invented people, whose calls are simulated."""

from all_in_one.demo.loader import (
    HISTORY_WEEKS,
    LOGINS,
    PASSWORD,
    PHONE_SYSTEM,
    PHONE_SYSTEM_SECRET,
    TENANT,
    TENANT_NAME,
    Account,
    accounts,
    history_start,
    load,
    opening,
)

__all__ = [
    "HISTORY_WEEKS",
    "LOGINS",
    "PASSWORD",
    "PHONE_SYSTEM",
    "PHONE_SYSTEM_SECRET",
    "TENANT",
    "TENANT_NAME",
    "Account",
    "accounts",
    "history_start",
    "load",
    "opening",
]
