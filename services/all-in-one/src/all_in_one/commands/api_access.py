"""Signing in, the state of Uplift, and any request to the API."""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import httpx
import typer

from all_in_one.commands.client import (
    DEMO_PASSWORD,
    As,
    Json,
    Password,
    Token,
    Url,
    address,
    connect,
    connection_errors_as_exit,
    fail,
    header,
    json_of,
    parse_body,
    post_token,
    print_json,
    sign_in,
)
from all_in_one.commands.table import lines_of

_ONE_TIME = "urn:uplift:grant:one-time"


def token(
    user: Annotated[str, typer.Argument(help="A user name at the loopback provider.")],
    password: Password = DEMO_PASSWORD,
    url: Url = None,
) -> None:
    """Print an access token, and nothing else, to standard output.

    Example: TOKEN=$(uplift token lead)
    """
    typer.echo(sign_in(address(url), user, password))


def login(
    one_time: Annotated[str, typer.Option("--one-time", help="The token that the first start printed.")],
    new_password: Annotated[str | None, typer.Option(help="Asked for where it is not given.")] = None,
    url: Url = None,
) -> None:
    """Set the first platform admin's password with the one-time token, and print an access token.

    Questions go to standard error, so that TOKEN=$(uplift login …) holds the token alone.

    Example: TOKEN=$(uplift login --one-time THE-TOKEN)
    """
    if new_password is None:
        if not sys.stdin.isatty():
            fail("There is no terminal to ask for the new password. Give --new-password.")
        new_password = typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True)
    form = {"grant_type": _ONE_TIME, "one_time_token": one_time, "new_password": str(new_password)}
    typer.echo(post_token(address(url), form)["access_token"])


def whoami(
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Show whom Uplift takes the token's owner for, and what that person may do.

    Example: uplift whoami --as lead
    """
    with connect(url, token, as_user, password) as client:
        me = parse_body(client.get("/api/identity/v1/me"))
    if as_json:
        print_json(me)
        return
    roles = [each["role"] + (f" of {each['org_unit']}" if each.get("org_unit") else "") for each in me["roles"]]
    typer.echo(f"{me['person']['display_name']} ({me['person']['slug']}) of tenant {me['tenant']['slug']}")
    typer.echo(f"  roles: {', '.join(roles) or 'none'}")
    typer.echo(f"  the tenant's time: {me['now']}")


def status(url: Url = None, as_json: Json = False) -> None:
    """Show whether Uplift is ready, and what each service has still to do. Exit status 1: it is not ready.

    Example: uplift status
    """
    base = address(url)
    with connection_errors_as_exit(base), httpx.Client(base_url=base, timeout=30) as client:
        ready, lag = json_of(client.get("/readyz")), json_of(client.get("/lag"))
    if as_json:
        print_json({"url": base, **ready, "lag": lag})
    else:
        typer.echo(f"Uplift {version('uplift-all-in-one')} at {base}: {'ready' if ready['ready'] else 'NOT ready'}")
        for problem in ready["problems"]:
            typer.echo(f"  {problem}")
        waiting = [(name, topic, count) for name, topics in lag.items() for topic, count in topics.items() if count]
        for name, topic, count in waiting:
            typer.echo(f"  {name}: {count:,} waiting in {topic}")
        if ready["ready"] and not waiting:
            typer.echo("  nothing is under way: every number is up to date")
    raise typer.Exit(0 if ready["ready"] else 1)


def url(url: Url = None) -> None:
    """Print where Uplift answers: where it was last started from this folder.

    Example: curl "$(uplift url)/readyz"
    """
    typer.echo(address(url))


def api(
    path: Annotated[str, typer.Argument(help="Below /api/, e.g. identity/v1/me.")],
    method: Annotated[
        Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None,
        typer.Option("--method", "-X", help="GET, or POST where there is a body."),
    ] = None,
    body: Annotated[str | None, typer.Option("--data", "-d", help="The body, or @FILE.")] = None,
    content: Annotated[str, typer.Option("--type", help="The body's media type.")] = "application/json",
    fields: Annotated[str | None, typer.Option(help="A line for each item with these, e.g. window,title.en.")] = None,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Ask the API anything, in somebody's name; prints the JSON answer, or the fields that you name.

    Example: uplift api --as lead 'kpi-engine/v1/kpis/silence_pct/values?by=agent&grain=week' --fields name,window,value
    """
    sent = None
    if body is not None:
        file = Path(body[1:])
        if body.startswith("@") and not file.is_file():
            fail(f"There is no file {file}.")
        sent = file.read_bytes() if body.startswith("@") else body.encode(errors="surrogateescape")
    with connect(url, token, as_user, password) as client:
        answer = client.request(
            method or ("GET" if sent is None else "POST"),
            f"/api/{path.removeprefix('/').removeprefix('api/')}",
            content=sent,
            headers={} if sent is None else {"content-type": header(content, "--type")},
        )
    found = parse_body(answer)
    if found is not None and fields:
        typer.echo("".join(f"{line}\n" for line in lines_of(found, fields.split(","))), nl=False)
    elif found is not None:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
