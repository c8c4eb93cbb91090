"""How the commands call the API: address, sign-in, parsing of responses and refusals; options that commands share."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote, urlsplit

import httpx
import typer

DEMO_PASSWORD = "demo"  # noqa: S105
DATA_FOLDERS = {True: Path(".uplift/demo"), False: Path(".uplift/data")}
"""The default data folders: of the demo (True), and of an installation that started empty (False)."""

Url = Annotated[str | None, typer.Option("--url", envvar="UPLIFT_URL", help="Where Uplift answers.")]
Token = Annotated[str | None, typer.Option("--token", envvar="UPLIFT_TOKEN", help="An access token.")]
As = Annotated[str, typer.Option("--as", help="A user of the loopback provider, where no token is given.")]
Password = Annotated[str, typer.Option("--password", envvar="UPLIFT_PASSWORD", help="That user's password.")]
REFUSED = 2
"""Exit status: something was refused."""

Json = Annotated[bool, typer.Option("--json", help="Print the API's answer as it is.")]


def fail(text: str) -> NoReturn:
    """Prints the text on standard error and exits with status 1."""
    typer.echo(text, err=True)
    raise typer.Exit(1)


def address(url: str | None) -> str:
    """The base URL: `url`, else where Uplift was last started from this folder, else port 8080."""
    if url:
        return _checked(url)
    files = [folder / "address" for folder in DATA_FOLDERS.values()]
    started = sorted((file.stat().st_mtime, file) for file in files if file.exists())
    return started[-1][1].read_text().strip() if started else "http://127.0.0.1:8080"


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and httpx.URL(url)
    except (ValueError, httpx.InvalidURL):
        right = False
    if not right:
        fail(f"`{url}` is not an address. Give one such as --url http://127.0.0.1:8080.")
    return url.rstrip("/")


def header(value: str, option: str) -> str:
    """Validates a value for an HTTP header: printable ASCII. Prints a sentence and exits with status 1 for anything else."""
    if not (value.isascii() and value.isprintable()):
        fail(f"{option} has characters that cannot be sent. Give it as it was printed, on one line.")
    return value


def segment(text: str, what: str) -> str:
    """Quotes one segment of a path. Exits with status 1 for an empty one or dots, which would address another resource."""
    if not text.strip() or text in (".", ".."):
        fail(f"{what} is missing: got `{text}`.")
    return quote(text, safe="")


@contextmanager
def connection_errors_as_exit(base: str) -> Iterator[None]:
    """Turns connection errors into one sentence and exit status 1."""
    try:
        yield
    except (httpx.ConnectError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        fail(f"Uplift does not answer at {base} ({type(error).__name__}). Start it with `make up`, or give --url.")
    except httpx.HTTPError as error:
        fail(
            f"Uplift at {base} broke off ({type(error).__name__}). Repeat it: what was taken before is not taken twice."
        )


@contextmanager
def connect(
    url: str | None, token: str | None, user: str, password: str, *, timeout: float = 60
) -> Iterator[httpx.Client]:
    """A client of the API with this token, else with one of `user`. Times out after `timeout` seconds. Connection errors
    become one sentence and exit status 1."""
    base = address(url)
    access = header(token, "--token (or UPLIFT_TOKEN)") if token else sign_in(base, user, password)
    with (
        httpx.Client(base_url=base, headers={"authorization": f"Bearer {access}"}, timeout=timeout) as client,
        connection_errors_as_exit(base),
    ):
        yield client


def post_token(base: str, form: dict[str, str]) -> dict[str, Any]:
    """The token endpoint's response; prints a sentence and exits with status 1 when it refuses."""
    with connection_errors_as_exit(base):
        answer = httpx.post(_token_endpoint(base), data={"client_id": "uplift-cli", **form}, timeout=10)
    if answer.is_error:
        body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        fail(f"No token: {body.get('error_description') or body.get('error') or answer.text}")
    return json_of(answer)


def _token_endpoint(base: str) -> str:
    """The token endpoint of the identity provider at this address: the embedded one, or Keycloak with the demo's client."""
    for issuer in (f"{base}/oidc", f"{base}/realms/uplift"):
        answer = httpx.get(f"{issuer}/.well-known/openid-configuration", timeout=10)
        if answer.is_success and "json" in answer.headers.get("content-type", ""):
            # At the host that served the discovery document: its own address may not be reachable from here.
            return base + urlsplit(json_of(answer)["token_endpoint"]).path
    fail(f"No identity provider answers at {base}. Give --token.")


def sign_in(base: str, user: str, password: str) -> str:
    """An access token by the password grant, which exists for development only."""
    form = {"grant_type": "password", "scope": "organization", "username": user, "password": password}
    return str(post_token(base, form)["access_token"])


def parse_body(answer: httpx.Response) -> Any:
    """The JSON body, or None when it is empty. Prints a sentence and exits with status 1 when the API refuses."""
    if answer.is_error:
        fail(describe_refusal(answer))
    return json_of(answer) if answer.content else None


def parse_or_refuse(answer: httpx.Response) -> Any:
    """The JSON body. Prints the problem and exits with status REFUSED when the API refuses."""
    if answer.is_error:
        typer.echo(describe_refusal(answer), err=True)
        raise typer.Exit(REFUSED)
    return json_of(answer)


def print_json(value: Any) -> None:
    """Prints a value as one line of JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def json_of(answer: httpx.Response) -> Any:
    """The JSON body, whatever the status. Prints a sentence and exits with status 1 when it is not JSON."""
    try:
        return answer.json()
    except ValueError:
        fail(f"What answers at {answer.url.copy_with(path='/', query=None)} is not Uplift. Give its address as --url.")


def with_cure(problem: str, cure: str | None) -> str:
    """The problem and its cure as one text."""
    if not cure:
        return problem
    return f"{problem} {cure}" if problem.endswith(".") else f"{problem}; {cure}"


def describe_refusal(answer: httpx.Response) -> str:
    """The problem document as text, a line for each error. Also handles responses that are not JSON, e.g. of a server that
    is stopping."""
    try:
        problem = answer.json()
        lines = [f"{problem['title']}: {problem['detail']}"]
        lines += [
            f"  {each['pointer']}: {with_cure(each['problem'], each['cure'])}" for each in problem.get("errors") or []
        ]
        return "\n".join(lines)
    except (ValueError, LookupError, TypeError):
        return f"{answer.status_code}: {answer.text[:300]}"
