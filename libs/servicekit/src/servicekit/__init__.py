"""The Service value, its runner, and the three doors."""

from servicekit.caller import Caller
from servicekit.door import (
    CallerDep,
    DocumentsDep,
    Page,
    PageDep,
    PageQuery,
    WorkSession,
    authenticate,
    bearer_token,
    kit_of,
    page_of,
    router,
)
from servicekit.kit import DueItem, Job, Kit, Lease, Received, Service, Subscription, Wired
from servicekit.settings import PlatformSettings

__all__ = [
    "Caller",
    "CallerDep",
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
    "WorkSession",
    "authenticate",
    "bearer_token",
    "kit_of",
    "page_of",
    "router",
]
