"""The `uplift` command: starts the embedded shape, and is an HTTP client of the API."""

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import httpx
import typer

BEGAN = time.monotonic()

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
letters = typer.Typer(no_args_is_help=False, help="What a service could not handle: list it, hand it over again.")
app.add_typer(letters, name="dead-letters")

Data = Annotated[Path, typer.Option("--data", envvar="UPLIFT_DATA", help="The folder that holds all data.")]
Url = Annotated[str | None, typer.Option("--url", envvar="UPLIFT_URL", help="Where Uplift answers.")]
Token = Annotated[str | None, typer.Option("--token", envvar="UPLIFT_TOKEN", help="An access token.")]
As = Annotated[str, typer.Option("--as", help="A user of the loopback provider, where no token is given.")]
Password = Annotated[str, typer.Option("--password", envvar="UPLIFT_PASSWORD", help="That user's password.")]

DATA = Path(".uplift/data")
DEMO_PASSWORD = "demo"  # noqa: S105


def fail(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(1)


@app.command()
def up(
    demo: Annotated[bool, typer.Option(help="With the simulated demo tenant.")] = True,
    simulate: Annotated[bool, typer.Option(help="Run the simulated call centre in the demo tenant.")] = True,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8080,
    host: Annotated[str, typer.Option(help="Loopback only: the identity provider is for development.")] = "127.0.0.1",
    speed: Annotated[float, typer.Option(help="Of the live shift; 1 is real time.", min=0.01)] = 60.0,
    data: Data = DATA,
) -> None:
    """Start everything in one process tree and answer on one port, until Ctrl-C."""
    typer.echo("Starting Uplift …")
    from storage.embedded import EmbeddedPostgresError

    from all_in_one.embedded import CannotStart, Options, up

    options = Options(data.resolve(), host, port, demo, simulate, speed, BEGAN)
    try:
        asyncio.run(up(options))
    except KeyboardInterrupt:
        typer.echo("Stopped. The data stays.")
    except (CannotStart, EmbeddedPostgresError, ValueError) as error:
        fail(str(error))
    except BaseExceptionGroup as group:
        known = group.subgroup((CannotStart, EmbeddedPostgresError))
        if known is None:
            raise
        fail(str(_first(known)))


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


@app.command()
def reset(data: Data = DATA) -> None:
    """Forget all data. Refused while Uplift runs on it."""
    from storage.embedded import EmbeddedPostgres, EmbeddedPostgresError

    folder = data.resolve()
    if not folder.exists():
        typer.echo(f"Nothing to forget: there is no {folder}.")
        return
    try:
        EmbeddedPostgres(folder).erase()
    except EmbeddedPostgresError as error:
        fail(str(error))
    for left in ("secret", "address"):
        (folder / left).unlink(missing_ok=True)
    typer.echo(f"All data in {folder} is forgotten.")


@app.command()
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


@app.command()
def page(
    url: Annotated[str, typer.Option("--url", help="Where browsers find Uplift.")] = "http://127.0.0.1:8080",
    host: Annotated[str, typer.Option(help="To listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
) -> None:
    """Serve the page at `/` for a gateway; people sign in at UPLIFT_ISSUER."""
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import HTMLResponse
    from servicekit.settings import PlatformSettings

    from all_in_one.front_page import front_page
    from all_in_one.suite import SERVICES

    text = front_page(SERVICES, url=url, uplift="uplift", demo=False, issuer=PlatformSettings().issuer)
    server = FastAPI(openapi_url=None)
    server.add_api_route("/", lambda: HTMLResponse(text), methods=["GET", "HEAD"])
    server.add_api_route("/healthz", lambda: {"status": "alive"})
    uvicorn.run(server, host=host, port=port, log_level="warning", access_log=False)


@app.command()
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


def address(url: str | None, data: Path = DATA) -> str:
    """Where Uplift answers: as told, else where it was last started from this folder."""
    if url:
        return url.rstrip("/")
    file = data / "address"
    return file.read_text().strip() if file.exists() else "http://127.0.0.1:8080"


@contextmanager
def answering(base: str) -> Iterator[None]:
    """One sentence instead of a traceback when nobody answers."""
    try:
        yield
    except (httpx.ConnectError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        fail(f"Uplift does not answer at {base} ({type(error).__name__}). Start it with `make up`, or give --url.")
    except httpx.HTTPError as error:
        fail(
            f"Uplift at {base} broke off ({type(error).__name__}). Repeat it: what was taken before is not taken twice."
        )


def _post_token(base: str, form: dict[str, str]) -> dict[str, Any]:
    with answering(base):
        answer = httpx.post(_token_endpoint(base), data={"client_id": "uplift-cli", **form}, timeout=10)
    if answer.is_error:
        body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        fail(f"No token: {body.get('error_description') or body.get('error') or answer.text}")
    return answer.json()


def _token_endpoint(base: str) -> str:
    """Of the identity provider behind this address: the loopback one, or Keycloak with the demo's client."""
    for issuer in (f"{base}/oidc", f"{base}/realms/uplift"):
        answer = httpx.get(f"{issuer}/.well-known/openid-configuration", timeout=10)
        if answer.is_success:
            # Reached as its discovery document was, whatever address it gives itself.
            return base + urlsplit(answer.json()["token_endpoint"]).path
    fail(f"No identity provider answers at {base}. Give --token.")


def sign_in(base: str, user: str, password: str) -> str:
    form = {"grant_type": "password", "scope": "organization", "username": user, "password": password}
    return str(_post_token(base, form)["access_token"])


@app.command()
def token(user: str, password: Password = DEMO_PASSWORD, url: Url = None) -> None:
    """Print an access token for a user of the loopback provider, e.g. `uplift token lead`."""
    typer.echo(sign_in(address(url), user, password))


@app.command()
def login(
    one_time: Annotated[str, typer.Option("--one-time", help="The token that the first start printed.")],
    new_password: Annotated[str, typer.Option(prompt=True, hide_input=True, confirmation_prompt=True)],
    url: Url = None,
) -> None:
    """Set the first platform admin's password with the one-time token, and print an access token."""
    form = {"grant_type": "urn:uplift:grant:one-time", "one_time_token": one_time, "new_password": new_password}
    typer.echo(_post_token(address(url), form)["access_token"])


@app.command()
def ingest(
    files: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, readable=True)],
    source: Annotated[str, typer.Option(help="A configured source, e.g. amazon-connect.")],
    mode: Annotated[str, typer.Option(help="`history` counts without consequences.")] = "live",
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Send files of vendor records; prints each file's receipt."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    base = address(url)
    access = token or sign_in(base, as_user, password)
    console = Console(stderr=True)
    refused = 0
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with httpx.Client(base_url=base, headers={"authorization": f"Bearer {access}"}, timeout=600) as client:
        for file in files:
            with Progress(*columns, console=console, transient=True) as progress:
                bar = progress.add_task(file.name, total=file.stat().st_size)

                def chunks(path: Path = file, bar: Any = bar, progress: Any = progress) -> Iterator[bytes]:
                    with path.open("rb") as opened:
                        while chunk := opened.read(1 << 18):
                            yield chunk
                            progress.advance(bar, len(chunk))

                with answering(base):
                    answer = client.post(
                        f"/api/ingest/v1/sources/{source}/records",
                        params={"mode": mode, "filename": file.name},
                        content=chunks(),
                        headers={"content-type": content_type(file)},
                    )
            refused += show_receipt(file, answer)
    if refused:
        raise typer.Exit(2)


def content_type(file: Path) -> str:
    name = file.name.removesuffix(".gz")
    kinds = {".csv": "text/csv", ".ndjson": "application/x-ndjson", ".jsonl": "application/x-ndjson"}
    return kinds.get(Path(name).suffix, "application/json")


def show_receipt(file: Path, answer: httpx.Response) -> int:
    """Prints a receipt. Returns 1 when the file was refused or a record of it rejected."""
    if answer.is_error:
        typer.echo(f"{file}: {_said(answer)}", err=True)
        return 1
    body = answer.json()
    typer.echo(f"{file}: {json.dumps(body, ensure_ascii=False, indent=2)}")
    return int(bool(body.get("rejected")))


SERVICE_NAMES = ("identity", "ingest", "kpi-engine", "training", "gamification", "forms", "notification")


@letters.callback(invoke_without_command=True)
def list_letters(
    context: typer.Context,
    service: Annotated[list[str] | None, typer.Option(help="Only this service; may be given again.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Another tenant, for a platform admin.")] = None,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """List the dead letters of every service, one JSON line each."""
    if context.invoked_subcommand:
        return
    base = address(url)
    access = token or sign_in(base, as_user, password)
    client = httpx.Client(base_url=base, headers={"authorization": f"Bearer {access}"}, timeout=30)
    with answering(base), client:
        for name in service or SERVICE_NAMES:
            after = None
            while True:
                params = {key: value for key, value in (("tenant", tenant), ("after", after)) if value}
                page = _answer(client.get(f"/api/{name}/v1/dead-letters", params=params))
                for each in page["items"]:
                    typer.echo(json.dumps({"service": name, **each}, ensure_ascii=False))
                after = page["next"]
                if after is None:
                    break


@letters.command("replay")
def replay_letter(
    service: str,
    letter: str,
    tenant: Annotated[str | None, typer.Option(help="Another tenant, for a platform admin.")] = None,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Hand a dead letter to the service that could not handle it, and to no other."""
    base = address(url)
    access = token or sign_in(base, as_user, password)
    with answering(base):
        answer = httpx.post(
            f"{base}/api/{service}/v1/dead-letters/{letter}/replay",
            params={"tenant": tenant} if tenant else {},
            headers={"authorization": f"Bearer {access}"},
            timeout=60,
        )
    typer.echo(json.dumps(_answer(answer), ensure_ascii=False))


def _answer(answer: httpx.Response) -> Any:
    if answer.is_error:
        fail(_said(answer))
    return answer.json()


def _said(answer: httpx.Response) -> str:
    """What a refusal says; a server that is being stopped does not always say it in JSON."""
    try:
        problem = answer.json()
        return f"{problem['title']}: {problem['detail']}"
    except (ValueError, LookupError, TypeError):
        return f"{answer.status_code}: {answer.text[:300]}"


@app.command()
def docs(
    check: Annotated[bool, typer.Option("--check/--write", help="Fail when a page differs from the code.")] = False,
) -> None:
    """Write the generated pages below docs/, or check them."""
    from all_in_one.docs import main

    raise typer.Exit(main(["--check" if check else "--write"]))


if __name__ == "__main__":
    sys.exit(app())
