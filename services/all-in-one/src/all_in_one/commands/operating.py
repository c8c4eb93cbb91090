"""Commands for operators: dead letters, and set-up of the real stack."""

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import httpx
import typer
from contracts import ALL_SERVICES

from all_in_one.commands.client import (
    DEMO_PASSWORD,
    As,
    Password,
    Token,
    Url,
    connect,
    fail,
    parse_body,
    print_json,
)

if TYPE_CHECKING:
    ServiceName = str
else:
    # Typer reads the choices of an option from an enumeration.
    ServiceName = StrEnum("ServiceName", {each.upper().replace("-", "_"): each for each in ALL_SERVICES})

Tenant = Annotated[str | None, typer.Option(help="Another tenant, for a platform admin.")]

letters = typer.Typer(no_args_is_help=False, help="What a service could not handle: list it, hand it over again.")


@letters.callback(invoke_without_command=True)
def list_letters(
    context: typer.Context,
    service: Annotated[list[ServiceName] | None, typer.Option(help="Only this service; may be given again.")] = None,
    tenant: Tenant = None,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """List the dead letters of every service, one JSON line each.

    Example: uplift dead-letters --service training
    """
    if context.invoked_subcommand:
        return
    with connect(url, token, as_user, password) as client:
        for name in service or ALL_SERVICES:
            after = None
            while True:
                params = {key: value for key, value in (("tenant", tenant), ("after", after)) if value}
                page = parse_body(client.get(f"/api/{name}/v1/dead-letters", params=params))
                for each in page["items"]:
                    print_json({"service": name, **each})
                after = page["next"]
                if after is None:
                    break


@letters.command("replay")
def replay_letter(
    service: Annotated[ServiceName, typer.Argument(help="That could not handle it.")],
    letter: Annotated[UUID, typer.Argument(help="Its id, as `uplift dead-letters` prints it.")],
    tenant: Tenant = None,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Hand a dead letter to the service that could not handle it, and to no other.

    Example: uplift dead-letters replay training 0197c0de-0000-7000-8000-000000000001
    """
    with connect(url, token, as_user, password) as client:
        answer = client.post(
            f"/api/{service}/v1/dead-letters/{letter}/replay", params={"tenant": tenant} if tenant else {}
        )
    print_json(parse_body(answer))


def provision(
    repair: Annotated[bool, typer.Option("--repair", help="Bring back what differs; else it is only told.")] = False,
) -> None:
    """Set up Keycloak's realm and the first platform admin; again, and nothing changes. Exit status 1: something differs."""
    from sqlalchemy.exc import SQLAlchemyError

    from all_in_one.provision import CannotProvision
    from all_in_one.provision import provision as run

    try:
        outcome = asyncio.run(run(repair=repair))
    except CannotProvision as error:
        fail(str(error))
    except SQLAlchemyError as error:
        fail(f"The realm is in order; the database is not ({error}). Run `python -m servicekit migrate` first.")
    for line in outcome.lines():
        typer.echo(line)
    raise typer.Exit(0 if outcome.in_order else 1)


def page(
    url: Annotated[str, typer.Option("--url", help="Where browsers find Uplift.")] = "http://127.0.0.1:8080",
    host: Annotated[str, typer.Option(help="To listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
) -> None:
    """Serve the page at `/` for a gateway; people sign in at UPLIFT_ISSUER."""
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse
    from servicekit.door import SecurityHeaders
    from servicekit.settings import PlatformSettings

    from all_in_one.embedded import CannotStart, check_port
    from all_in_one.front_page import PAGE_HEADERS, front_page
    from all_in_one.suite import SERVICES

    try:
        check_port(host, port, "--port")
    except CannotStart as error:
        fail(str(error))
    text = front_page(SERVICES, url=url, uplift="uplift", demo=False, issuer=PlatformSettings().issuer)
    server = FastAPI(openapi_url=None)
    server.add_middleware(SecurityHeaders)
    server.add_api_route("/", lambda: HTMLResponse(text, headers=PAGE_HEADERS), methods=["GET", "HEAD"])
    server.add_api_route("/healthz", lambda: {"status": "alive"})
    uvicorn.run(server, host=host, port=port, log_level="warning", access_log=False)


def demo(
    url: Annotated[str, typer.Option("--url", help="Where the gateway answers.")] = "http://127.0.0.1:8080",
    lag_url: Annotated[
        list[str] | None, typer.Option(help="`/lag` of a process that works; may be given again.")
    ] = None,
) -> None:
    """Put the simulated demo tenant on the real stack. Its people's password is published: for development only."""
    from servicekit.errors import Problem

    from all_in_one.demo_on_keycloak import prepare

    try:
        asyncio.run(prepare(url, lag_url or []))
    except (ValueError, RuntimeError, httpx.HTTPError, Problem, TimeoutError) as error:
        fail(f"The demo could not be set up: {error or type(error).__name__}")
    typer.echo("The tenant `demo` is there, simulated.")
