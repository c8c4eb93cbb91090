"""The HTTP door: one transaction per request, committed before the response is sent."""

from servicekit.door.access import CallerDep, DocumentsDep, WorkSession, authenticate, bearer_token, request_id
from servicekit.door.days import MOST_DAYS, DayRange, DaysDep
from servicekit.door.etags import link_resource_routes, lock_edits
from servicekit.door.head import Head
from servicekit.door.headers import SecurityHeaders
from servicekit.door.idempotency import WRITE_METHODS
from servicekit.door.openapi import customize_openapi, operation_name
from servicekit.door.pages import Page, PageDep, PageQuery, bounded_page, page_of, page_within
from servicekit.door.policy import DEFINITION_BYTES, route_policy
from servicekit.door.problems import render_http, render_problem, render_validation
from servicekit.door.request_state import check_roles, get_context
from servicekit.door.route import TransactionalRoute, iter_transactional_routes, router

__all__ = [
    "DEFINITION_BYTES",
    "MOST_DAYS",
    "WRITE_METHODS",
    "CallerDep",
    "DayRange",
    "DaysDep",
    "DocumentsDep",
    "Head",
    "Page",
    "PageDep",
    "PageQuery",
    "SecurityHeaders",
    "TransactionalRoute",
    "WorkSession",
    "authenticate",
    "bearer_token",
    "bounded_page",
    "check_roles",
    "customize_openapi",
    "get_context",
    "iter_transactional_routes",
    "link_resource_routes",
    "lock_edits",
    "operation_name",
    "page_of",
    "page_within",
    "render_http",
    "render_problem",
    "render_validation",
    "request_id",
    "route_policy",
    "router",
]
