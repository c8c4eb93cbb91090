"""How the commands reach Uplift: where it answers, in whose name, and what a refusal says."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote, urlsplit

import httpx
import typer

DEMO_PASSWORD = "demo"  # noqa: S105
DATA_FOLDERS = {True: Path(".uplift/demo"), False: Path(".uplift/data")}
"""Where data lies unless said otherwise: of the demo (True), and of an installation that started empty (False)."""

Url = Annotated[str | None, typer.Option("--url", envvar="UPLIFT_URL", help="Where Uplift answers.")]
Token = Annotated[str | None, typer.Option("--token", envvar="UPLIFT_TOKEN", help="An access token.")]
As = Annotated[str, typer.Option("--as", help="A user of the loopback provider, where no token is given.")]
Password = Annotated[str, typer.Option("--password", envvar="UPLIFT_PASSWORD", help="That user's password.")]
Json = Annotated[bool, typer.Option("--json", help="Print the API's answer as it is.")]


def fail(text: str) -> NoReturn:
    """Says why on standard error; exit status 1."""
    typer.echo(text, err=True)
    raise typer.Exit(1)


def address(url: str | None) -> str:
    """Where Uplift answers: as told, else where it was last started from this folder."""
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
    """What may stand in a header, which is plain ASCII on one line; one sentence and exit status 1 for anything else."""
    if not (value.isascii() and value.isprintable()):
        fail(f"{option} has characters that cannot be sent. Give it as it was printed, on one line.")
    return value


def segment(text: str, what: str) -> str:
    """One step of a path, whatever characters it has. Fails when it is empty, which would be another address."""
    if not text.strip() or text in (".", ".."):
        fail(f"{what} is missing: got `{text}`.")
    return quote(text, safe="")


@contextmanager
def connection_errors_as_exit(base: str) -> Iterator[None]:
    """One sentence instead of a traceback when nobody answers."""
    try:
        yield
    except (httpx.ConnectError, httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        fail(f"Uplift does not answer at {base} ({type(error).__name__}). Start it with `make up`, or give --url.")
    except httpx.HTTPError as error:
        fail(
            f"Uplift at {base} broke off ({type(error).__name__}). Repeat it: what was taken before is not taken twice."
        )


def connect(url: str | None, token: str | None, user: str, password: str, *, timeout: float = 60) -> httpx.Client:
    """A client of the API in the name of whom the token says, else of `user`."""
    base = address(url)
    access = header(token, "--token (or UPLIFT_TOKEN)") if token else sign_in(base, user, password)
    return httpx.Client(base_url=base, headers={"authorization": f"Bearer {access}"}, timeout=timeout)


def post_token(base: str, form: dict[str, str]) -> dict[str, Any]:
    """The token endpoint's answer; one sentence and exit status 1 when it refuses."""
    with connection_errors_as_exit(base):
        answer = httpx.post(_token_endpoint(base), data={"client_id": "uplift-cli", **form}, timeout=10)
    if answer.is_error:
        body = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        fail(f"No token: {body.get('error_description') or body.get('error') or answer.text}")
    return json_of(answer)


def _token_endpoint(base: str) -> str:
    """Of the identity provider behind this address: the loopback one, or Keycloak with the demo's client."""
    for issuer in (f"{base}/oidc", f"{base}/realms/uplift"):
        answer = httpx.get(f"{issuer}/.well-known/openid-configuration", timeout=10)
        if answer.is_success and "json" in answer.headers.get("content-type", ""):
            # Reached as its discovery document was, whatever address it gives itself.
            return base + urlsplit(json_of(answer)["token_endpoint"]).path
    fail(f"No identity provider answers at {base}. Give --token.")


def sign_in(base: str, user: str, password: str) -> str:
    """An access token by the password grant that is for development."""
    form = {"grant_type": "password", "scope": "organization", "username": user, "password": password}
    return str(post_token(base, form)["access_token"])


def parse_body(answer: httpx.Response) -> Any:
    """The JSON body; one sentence and exit status 1 when the API refuses."""
    if answer.is_error:
        fail(describe_refusal(answer))
    return json_of(answer) if answer.content else None


def json_of(answer: httpx.Response) -> Any:
    """The JSON body, whatever the status; one sentence and exit status 1 where it is none."""
    try:
        return answer.json()
    except ValueError:
        fail(f"What answers at {answer.url.copy_with(path='/', query=None)} is not Uplift. Give its address as --url.")


def with_cure(problem: str, cure: str | None) -> str:
    if not cure:
        return problem
    return f"{problem} {cure}" if problem.endswith(".") else f"{problem}; {cure}"


def describe_refusal(answer: httpx.Response) -> str:
    """What a refusal says, with the fields it names; a server that is being stopped does not always say it in JSON."""
    try:
        problem = answer.json()
        lines = [f"{problem['title']}: {problem['detail']}"]
        lines += [
            f"  {each['pointer']}: {with_cure(each['problem'], each['cure'])}" for each in problem.get("errors") or []
        ]
        return "\n".join(lines)
    except (ValueError, LookupError, TypeError):
        return f"{answer.status_code}: {answer.text[:300]}"
