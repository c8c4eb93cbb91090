"""`uplift trace`: follows one contact through all services."""

from typing import Annotated

import typer

from all_in_one.commands.client import (
    DEMO_PASSWORD,
    As,
    Password,
    Token,
    Url,
    connect,
    fail,
    print_json,
)
from all_in_one.commands.tracing import format_trace, trace_contact


def trace(
    identifier: Annotated[
        str, typer.Argument(help="A contact id, an interaction's id, or a leg as INTERACTION/NUMBER.", metavar="ID")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Follow one contact through all services, when a number looks wrong.

    Shows its receipts and verdicts, the versions of its legs, what is held and why, what each leg contributed to the KPI
    values of its day, the bands, assignments and points that followed, how far services are behind, and dead letters
    that name it. Exit status 1: nothing is known of it.

    Example: uplift trace 4c2b4c3e-0b3f-4a53-9a34-0d5f3a0d8f11
    """
    with connect(url, token, as_user, password) as client:
        found = trace_contact(client, identifier)
    if found is None:
        fail(
            f"Nothing is known of `{identifier}`. Give the contact id as its source sent it, an interaction's id, or "
            "INTERACTION/NUMBER for a leg. A rejected record is in its receipt only: `uplift receipt RECEIPT`."
        )
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(format_trace(found)))
