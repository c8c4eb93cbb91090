"""The HTTP door: one request, one transaction, committed before the answer goes out."""

from servicekit.door.accepted import DEFINITION_BYTES, accepts
from servicekit.door.access import CallerDep, DocumentsDep, WorkSession, authenticate, bearer_token, request_id
from servicekit.door.contract import describe, operation_name
from servicekit.door.days import MOST_DAYS, DayRange, DaysDep
from servicekit.door.head import Head
from servicekit.door.headers import SecurityHeaders
from servicekit.door.idempotency import WRITES
from servicekit.door.pages import Page, PageDep, PageQuery, bounded_page, page_of, page_within
from servicekit.door.problems import render_http, render_problem, render_validation
from servicekit.door.route import Door, doors, router
from servicekit.door.things import link_things, lock_edits
from servicekit.door.unit import check_roles, kit_of

__all__ = [
    "DEFINITION_BYTES",
    "MOST_DAYS",
    "WRITES",
    "CallerDep",
    "DayRange",
    "DaysDep",
    "DocumentsDep",
    "Door",
    "Head",
    "Page",
    "PageDep",
    "PageQuery",
    "SecurityHeaders",
    "WorkSession",
    "accepts",
    "authenticate",
    "bearer_token",
    "bounded_page",
    "check_roles",
    "describe",
    "doors",
    "kit_of",
    "link_things",
    "lock_edits",
    "operation_name",
    "page_of",
    "page_within",
    "render_http",
    "render_problem",
    "render_validation",
    "request_id",
    "router",
]
