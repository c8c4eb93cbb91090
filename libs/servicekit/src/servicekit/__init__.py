"""The `Service` definition, its runner, and the three doors: HTTP, events and the clock."""

from messaging.retry import wait_for_any

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
    authenticate,
    bearer_token,
    bounded_page,
    check_roles,
    get_context,
    lock_edits,
    page_of,
    page_within,
    request_id,
    route_policy,
    router,
)
from servicekit.door.field_docs import FieldDoc
from servicekit.event_door import iterate_tenants
from servicekit.service_definition import (
    DueItem,
    Job,
    Lease,
    ReceivedEvent,
    Service,
    ServiceContext,
    ServiceParts,
    Subscription,
)
from servicekit.settings import PlatformSettings

__all__ = [
    "DEFINITION_BYTES",
    "Caller",
    "CallerDep",
    "DaysDep",
    "DocumentsDep",
    "DueItem",
    "FieldDoc",
    "Job",
    "Lease",
    "Page",
    "PageDep",
    "PageQuery",
    "PlatformSettings",
    "ReceivedEvent",
    "Service",
    "ServiceContext",
    "ServiceParts",
    "Subscription",
    "WorkSession",
    "authenticate",
    "bearer_token",
    "bounded_page",
    "check_roles",
    "get_context",
    "iterate_tenants",
    "lock_edits",
    "page_of",
    "page_within",
    "request_id",
    "route_policy",
    "router",
    "wait_for_any",
]
