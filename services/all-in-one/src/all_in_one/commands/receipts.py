"""`uplift receipts`: cancels and undoes uploads."""

import time
from typing import Annotated, Any
from uuid import UUID

import httpx
import typer

from all_in_one.commands.client import (
    DEMO_PASSWORD,
    As,
    Json,
    Password,
    Token,
    Url,
    connect,
    fail,
    parse_body,
    parse_or_refuse,
    print_json,
)
from all_in_one.commands.ingesting import print_receipt

_WAIT_SECONDS = 600

commands = typer.Typer(
    no_args_is_help=True, help="What was sent: end it, or take it back. See it with `uplift receipt`."
)

Id = Annotated[UUID, typer.Argument(help="As `uplift ingest` printed it.")]


@commands.command()
def cancel(
    id: Id,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """End an upload that is being received or read. What was read before is counted; `undo` takes that back.

    Example: uplift receipts cancel 0197c0de-0000-7000-8000-000000000001
    """
    with connect(url, token, as_user, password) as client:
        body = parse_or_refuse(client.post(f"/api/ingest/v1/receipts/{id}/cancel"))
    print_receipt("receipt", body, as_json=as_json)


@commands.command()
def undo(
    id: Id,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would take back.")] = False,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Take a receipt back: what it alone contributed counts no more. Waits until that is done.

    What other receipts said of the same calls stays. Exit status: 0 done, 2 refused.

    Example: uplift receipts undo 0197c0de-0000-7000-8000-000000000001 --dry-run
    """
    with connect(url, token, as_user, password, timeout=600) as client:
        answer = client.delete(f"/api/ingest/v1/receipts/{id}", params={"dry_run": dry_run})
        body = parse_or_refuse(answer)
        if answer.status_code == httpx.codes.ACCEPTED:
            print_receipt("receipt", _wait(client, id), as_json=as_json)
            return
    if as_json:
        print_json(body)
    else:
        typer.echo(_told(body, dry_run=dry_run))


def _wait(client: httpx.Client, id: UUID) -> dict[str, Any]:
    """Polls the receipt until it is undone: large ones continue after the response."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while (found := parse_body(client.get(f"/api/ingest/v1/receipts/{id}")))["status"] != "undone":
        if time.monotonic() > deadline:
            fail(f"It is still being taken back. See `uplift receipt {id}`.")
        time.sleep(0.5)
    return found


def _told(body: dict[str, Any], *, dry_run: bool) -> str:
    legs = f"{body['legs_changed']:,} legs change and {body['legs_voided']:,} go"
    figures = f"the figures of {len(body['agents']):,} people"
    begins = "would take back" if dry_run else "took back"
    return f"{begins} {body['records']:,} records of {body['interactions']:,} interactions: {legs}; {figures} follow"
