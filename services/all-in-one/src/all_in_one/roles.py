"""Generates docs/roles.md from what the routes declare with `servicekit.route_policy`."""

import asyncio
from collections.abc import Iterator
from typing import Any, get_args

import httpx
from contracts.directory import Role
from servicekit import PlatformSettings
from servicekit.tokens import TokenVerifier
from servicekit.wiring import build_service, create_service_app

from all_in_one.suite import SERVICES

ROLES: tuple[str, ...] = get_args(Role)
SEES_PEOPLE = ("team_lead", "trainer", "quality_analyst", "tenant_admin", "integration")

_PREFACE = """\
# Who may do what

<!-- Generated from what the routes declare with `route_policy`: `uplift docs --write`. -->

Roles come from the directory, not from the token, and hold over the whole tenant or over an org unit and all below it. Whoever
has several may do what any of them may, each where it is held. A role over an org unit lets one read, and act for the people of
the unit; what the tenant has as a whole (blueprints, KPIs, rules, templates, forms, mappings, providers, webhooks, applications,
people and their roles and accounts) takes the role in the whole tenant. What a role opens:

| | |
|---|---|
| all | of the tenant |
| whole | of the tenant, and only with the role in all of it, not over an org unit |
| people | of those whom the role is over, on the days on which they belong there, and of oneself |
| own | of oneself |
| try | with `dry_run`, which changes nothing |
| any tenant | of every tenant, for a platform_admin of the tenant `platform` |

Nobody sees or changes anything of another tenant otherwise. The OpenAPI documents tell the same as `x-roles`, `x-roles-over` and
`x-reach`; `tests/hostile/test_roles.py` tries every route as everybody. Some routes ask for more than a role, such as to be the
author of a submission: their own description says so.
"""


def load_openapi_documents() -> dict[str, dict[str, Any]]:
    """The OpenAPI documents of all services, by name. No database is needed."""

    async def build() -> dict[str, dict[str, Any]]:
        settings = PlatformSettings()
        async with httpx.AsyncClient() as http:
            verifier = TokenVerifier(http, issuer=settings.issuer, audience=settings.audience)
            parts: dict[str, Any] = {"http": http, "verifier": verifier, "stopping": asyncio.Event()}
            return {
                each.name: create_service_app(build_service(each, settings, **parts)).openapi() for each in SERVICES
            }

    return asyncio.run(build())


def render_roles() -> str:
    """The text of docs/roles.md."""
    tables = {name: dict(_rows(document)) for name, document in load_openapi_documents().items()}
    first = next(iter(tables.values()))
    everywhere = {route: row for route, row in first.items() if all(rows.get(route) == row for rows in tables.values())}
    text = _PREFACE + _table("every service", everywhere)
    for name, rows in tables.items():
        text += _table(name, {route: row for route, row in rows.items() if route not in everywhere})
    return text


def _table(name: str, rows: dict[str, str]) -> str:
    head = f"\n## {name}\n\n| | {' | '.join(ROLES)} |\n|---|{'---|' * len(ROLES)}\n"
    return head + "".join(f"| `{route}` | {row} |\n" for route, row in rows.items())


def _rows(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if "x-reach" in operation:
                yield f"{method.upper()} {path}", " | ".join(_cell(role, path, operation) for role in ROLES)


def _cell(role: str, path: str, operation: dict[str, Any]) -> str:
    roles, reach = operation.get("x-roles", ROLES), operation["x-reach"]
    named = {each["name"] for each in operation.get("parameters", [])}
    if role in operation.get("x-roles-dry-run", ()):
        return "try"
    if role not in roles:
        return ""
    if role == "platform_admin" and ("tenant" in named or path == "/tenants"):
        return "any tenant"
    if reach == "people":
        return "people" if role in SEES_PEOPLE else "own"
    if reach == "own":
        return "own"
    return "whole" if operation.get("x-roles-over") == "tenant" else "all"
