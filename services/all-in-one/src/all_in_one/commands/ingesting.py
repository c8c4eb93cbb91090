"""`uplift ingest` and `uplift receipt`: sends files, prints receipts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import httpx
import typer

from all_in_one.commands.client import (
    DEMO_PASSWORD,
    REFUSED,
    As,
    Json,
    Password,
    Token,
    Url,
    connect,
    describe_refusal,
    json_of,
    parse_or_refuse,
    print_json,
    segment,
    with_cure,
)

HELD = 3
"""Exit status: nothing was refused but some records are held."""

_SHOWN = 10
_PENDING_STATES = ("receiving", "queued", "reading", "replaying", "undoing")


def ingest(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)],
    source: Annotated[str, typer.Option(help="A configured source, e.g. amazon-connect.")],
    mode: Annotated[Literal["live", "history"], typer.Option(help="`history` counts without consequences.")] = "live",
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Send files of vendor records, and show what became of each.

    Exit status: 0 all is counted, 2 a file or a record was refused, 3 nothing was refused but some records wait (for an
    agent who is not known yet, or for another part of the call).

    Example: uplift ingest --source amazon-connect contacts.ndjson.gz
    """
    with connect(url, token, as_user, password, timeout=600) as client:
        worst = max(
            (_send(client, file, source, mode, as_json=as_json) for file in files), key=[0, HELD, REFUSED].index
        )
    raise typer.Exit(worst)


def _send(client: httpx.Client, file: Path, source: str, mode: str, *, as_json: bool) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(file.name, total=file.stat().st_size)

        def chunks() -> Iterator[bytes]:
            with file.open("rb") as opened:
                while chunk := opened.read(1 << 18):
                    yield chunk
                    progress.advance(bar, len(chunk))

        answer = client.post(
            f"/api/ingest/v1/sources/{segment(source, '--source')}/records",
            params={"mode": mode},
            content=chunks(),
            headers={"content-type": content_type(file)},
        )
    if answer.is_error:
        typer.echo(f"{file}: {describe_refusal(answer)}", err=True)
        return REFUSED
    return print_receipt(str(file), json_of(answer), as_json=as_json)


def content_type(file: Path) -> str:
    """The media type of a file of records, by its name without `.gz`; JSON by default."""
    name = file.name.removesuffix(".gz")
    kinds = {".csv": "text/csv", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson"}
    return kinds.get(Path(name).suffix, "application/json")


def receipt(
    id: Annotated[UUID, typer.Argument(help="As `uplift ingest` printed it.")],
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Show a receipt again. Exit status as of `ingest`; 3 also while it is being read, replayed or undone.

    Example: uplift receipt 0197c0de-0000-7000-8000-000000000001
    """
    with connect(url, token, as_user, password) as client:
        body = parse_or_refuse(client.get(f"/api/ingest/v1/receipts/{id}"))
    raise typer.Exit(print_receipt("receipt", body, as_json=as_json))


def print_receipt(name: str, body: dict[str, Any], *, as_json: bool) -> int:
    """Prints a receipt. Returns its exit status: 0, REFUSED or HELD."""
    if as_json:
        print_json(body)
    else:
        typer.echo("\n".join(lines_of(name, body)))
    if body["rejected"] or body["status"] in ("interrupted", "cancelled"):
        return REFUSED
    return HELD if body["held"] or body["status"] in _PENDING_STATES else 0


def lines_of(name: str, body: dict[str, Any]) -> list[str]:
    """A receipt as lines of text."""
    counted = {each: body[each] for each in ("accepted", "corrected", "unchanged", "held", "rejected")}
    parts = [f"{count:,} {verdict}" for verdict, count in counted.items() if count] or ["no records"]
    mode = ", history" if body["mode"] == "history" else ""
    status = "" if body["status"] == "done" else f"{body['status']}; "
    records = "1 record" if body["received"] == 1 else f"{body['received']:,} records"
    lines = [f"{name}: {status}{records}{mode}: {', '.join(parts)}", f"  receipt {body['id']}"]
    lines += [f"  note: {note}" for note in body.get("notes", [])]
    problems = body.get("problems", [])
    for each in problems[:_SHOWN]:
        field = f" {each['field']}:" if each.get("field") else ""
        reason = with_cure(str(each.get("reason")), each.get("cure"))
        lines.append(f"  line {each['line']} {each['verdict']}:{field} {reason}")
    more = body["held"] + body["rejected"] - len(problems[:_SHOWN])
    if more > 0:
        lines.append(f"  … and {more:,} more: /api/ingest/v1/receipts/{body['id']}/records?verdict=rejected (or held)")
    return lines
