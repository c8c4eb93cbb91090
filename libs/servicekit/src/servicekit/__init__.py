"""The Service value, its runner, and the three doors."""

from servicekit.caller import Caller
from servicekit.door import (
    DEFINITION_BYTES,
    CallerDep,
    DaysDep,
    DocumentsDep,
    Page,
    PageDep,
    PageQuery,
    WorkSession,
    accepts,
    authenticate,
    bearer_token,
    check_roles,
    kit_of,
    lock_edits,
    page_of,
    page_within,
    request_id,
    router,
)
from servicekit.door.words import Word
from servicekit.kit import DueItem, Job, Kit, Lease, Received, Service, Subscription, Wired
from servicekit.settings import PlatformSettings

__all__ = [
    "DEFINITION_BYTES",
    "Caller",
    "CallerDep",
    "DaysDep",
    "DocumentsDep",
    "DueItem",
    "Job",
    "Kit",
    "Lease",
    "Page",
    "PageDep",
    "PageQuery",
    "PlatformSettings",
    "Received",
    "Service",
    "Subscription",
    "Wired",
    "Word",
    "WorkSession",
    "accepts",
    "authenticate",
    "bearer_token",
    "check_roles",
    "kit_of",
    "lock_edits",
    "page_of",
    "page_within",
    "request_id",
    "router",
]
