"""Builds one service: its sessions, its doors and its HTTP application."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from storage import (
    Migrations,
    Outbox,
    Sessions,
    create_document_store,
    create_engine,
    ensure_schema,
    migrate,
    schema_name,
)

from servicekit.behind import behind_router
from servicekit.blueprints.door import section_router
from servicekit.clock_door import ClockDoor
from servicekit.dead_letters import dead_letter_router
from servicekit.door import (
    Head,
    SecurityHeaders,
    customize_openapi,
    iter_transactional_routes,
    link_resource_routes,
    operation_name,
    render_http,
    render_problem,
    render_validation,
)
from servicekit.door.docs_page import add_docs
from servicekit.door.security_schemes import build_security_schemes
from servicekit.errors import Problem
from servicekit.event_door import EventDoor
from servicekit.feature_flags import open_feature_flags
from servicekit.metrics import with_metrics
from servicekit.service_definition import Service, ServiceContext, ServiceParts, Subscription
from servicekit.settings import PlatformSettings
from servicekit.tokens import TokenVerifier


def build_role_url(settings: PlatformSettings, service: str) -> str:
    """The service's database URL with its own role, which owns its own schema and nothing else."""
    return settings.database_url.replace("{role}", schema_name(service))


LOG_TABLE_MIGRATIONS = Migrations(
    "broker", "messaging.log_table.migrations", has_platform_tables=False, first_table="topics"
)
"""The migrations of the log table, the broker in PostgreSQL."""


def migrate_schema(migrations: Migrations, settings: PlatformSettings) -> None:
    """Migrates one schema to its newest revision, as its own role. With an administrator's URL in the settings it also
    creates role and schema if they are missing. Raises UnknownRevision."""
    name = migrations.service
    if settings.admin_database_url:
        ensure_schema(
            settings.admin_database_url,
            name,
            role=schema_name(name),
            password=urlsplit(settings.database_url.replace("{role}", "role")).password,
        )
    migrate(build_role_url(settings, name), migrations)


def migrate_all(services: Sequence[Service], settings: PlatformSettings) -> None:
    """Migrates every service's schema to its newest revision. With an administrator's URL in the settings it also creates
    missing roles and schemas."""
    for service in services:
        migrate_schema(service.migrations, settings)


@dataclass
class RunningService:
    """A service with its doors, built for one process."""

    service: Service
    context: ServiceContext
    parts: ServiceParts
    doors: dict[str, EventDoor]
    clock: ClockDoor
    outbox: Outbox


def build_service(
    service: Service,
    settings: PlatformSettings,
    *,
    http: httpx.AsyncClient,
    verifier: TokenVerifier,
    stopping: asyncio.Event,
) -> RunningService:
    """Builds one service. Every service reads the `directory` topic, also without a subscription of its own."""
    engine = create_engine(
        build_role_url(settings, service.name), schema=schema_name(service.name), pool_size=settings.database_pool
    )
    sessions = Sessions(engine, service.name, partitions=settings.partitions)
    context = ServiceContext(
        settings,
        sessions,
        with_metrics(create_document_store(sessions, settings.mongodb_url), service.name),
        http,
        verifier,
        stopping,
        open_feature_flags(settings.feature_flags_file),
    )
    parts = service.wire(context)
    subscriptions = {each.topic: each for each in parts.subscriptions}
    subscriptions.setdefault("directory", Subscription("directory"))
    doors = {topic: EventDoor(sessions, each) for topic, each in subscriptions.items()}
    return RunningService(service, context, parts, doors, ClockDoor(sessions, parts.due_handlers), Outbox(sessions))


def bare_app() -> FastAPI:
    """The application that services are mounted on. Its own errors are problem documents, every response has the security
    headers, and every GET route also answers HEAD."""
    app = FastAPI(
        title="Uplift",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        exception_handlers={HTTPException: render_http, Exception: render_problem},
    )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Head)
    return app


def create_service_app(running: RunningService) -> FastAPI:
    """The HTTP application of one service, to be mounted at its prefix."""
    app = FastAPIOffline(
        docs_url=None,
        title=f"Uplift {running.service.title}",
        version=version("uplift-servicekit"),
        description=f"{running.service.title}. How all of it is used: docs/guides/use-the-api.md.",
        generate_unique_id_function=operation_name,
        separate_input_output_schemas=False,
        exception_handlers={
            Problem: render_problem,
            RequestValidationError: render_validation,
            HTTPException: render_http,
            Exception: render_problem,
        },
    )
    app.state.context = running.context
    add_docs(app, running.context.settings.issuer)
    app.state.service = running.parts.state
    routers = [running.parts.router, dead_letter_router(running.doors), behind_router()]
    if running.parts.section is not None:
        routers.append(section_router(running.parts.section))
    for each in routers:
        app.include_router(each)
    link_resource_routes(iter_transactional_routes(app.routes))
    customize_openapi(
        app, field_docs=running.parts.field_docs, security=build_security_schemes(running.context.settings.issuer)
    )
    return app
