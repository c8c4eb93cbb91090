"""`uplift tenant`: makes a customer, in a shared installation or as a release of its own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import typer

from all_in_one.commands.blueprints import put_blueprint, wait_until_applied
from all_in_one.commands.client import (
    DEMO_PASSWORD,
    REFUSED,
    As,
    Password,
    Token,
    Url,
    address,
    connect,
    fail,
    parse_body,
    parse_or_refuse,
    segment,
)
from all_in_one.releases import CannotWriteRelease, Release, list_next_steps, write_release

_WAIT_SECONDS = 60

commands = typer.Typer(no_args_is_help=True, help="Customers: make one, with its administrator and its blueprint.")


class Isolation(StrEnum):
    """`shared`: a tenant of the installation at the address. `release`: an installation of its own."""

    SHARED = "shared"
    RELEASE = "release"


@commands.callback()
def _group() -> None:
    """Keeps `create` a subcommand: Typer makes a lone command the group itself."""


@dataclass
class _Durations:
    """Seconds by step, in order."""

    seconds: dict[str, float] = field(default_factory=dict[str, float])

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Adds the time that the block takes to the step's."""
        began = time.monotonic()
        yield
        self.seconds[step] = self.seconds.get(step, 0.0) + time.monotonic() - began

    def __str__(self) -> str:
        steps = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in self.seconds.items())
        return f"{sum(self.seconds.values()):.1f} s ({steps})"


@dataclass(frozen=True)
class _Admin:
    """The first administrator. `login`: the `sub` of a login that exists, `issuer` its `iss` (None: the installation's);
    without one an account is opened, called `username`."""

    slug: str
    display_name: str
    email: str | None
    username: str
    login: str | None
    issuer: str | None

    def to_person(self) -> dict[str, Any]:
        """The person as `POST /people` takes it."""
        person: dict[str, Any] = {"slug": self.slug, "display_name": self.display_name}
        if self.email:
            person["email"] = self.email
        if self.login:
            person["login"] = {"sub": self.login} | ({"iss": self.issuer} if self.issuer else {})
        return {**person, "roles": [{"role": "tenant_admin"}]}


@commands.command()
def create(
    slug: Annotated[str, typer.Argument(help="What the tenant is called in addresses: a-z, 0-9 and -.")],
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    blueprint: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, readable=True)] = None,
    admin: Annotated[str, typer.Option(help="The first administrator's slug.")] = "admin",
    admin_name: Annotated[str, typer.Option(help="The first administrator's name.")] = "Administrator",
    admin_email: Annotated[str | None, typer.Option(help="The first administrator's e-mail address.")] = None,
    username: Annotated[str | None, typer.Option(help="Of the new account.  [default: ADMIN.SLUG]")] = None,
    login: Annotated[
        str | None, typer.Option(help="The `sub` of a login that the administrator has: then no account is made.")
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="The `iss` of --login.  [default: the installation's]")] = None,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Make another one-time password for the account.")
    ] = False,
    isolation: Annotated[Isolation, typer.Option(help="`release` writes files and asks no installation.")] = (
        Isolation.SHARED
    ),
    values_dir: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="With release: customers of an environment, in k8s/."),
    ] = None,
    public_url: Annotated[str | None, typer.Option(help="With release: where people will find it.")] = None,
    like: Annotated[str, typer.Option(help="With release: the customer whose files are the pattern.")] = "shared",
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Make a tenant with its first administrator and its blueprint. Needs a platform admin.

    The blueprint is checked before it is published; then every service has applied its section, or the command says what
    stands in the way. Repeat it after an interruption or with a mended file: it goes on where it stopped, and changes
    nothing of what is there. Exit status: 0 the tenant is live, 2 something was refused, 1 it did not get through.

    With --isolation release it writes the files of an installation of its own, and prints what to do with them.

    Example: uplift tenant create acme --as platform --name Acme --blueprint acme.yaml
    """
    segment(slug, "SLUG")
    if isolation is Isolation.RELEASE:
        if values_dir is None or public_url is None:
            fail("--isolation release needs --values-dir and --public-url.")
        _write_release(Release(slug, public_url.rstrip("/"), values_dir, like))
        return
    if name is None or blueprint is None:
        fail("A tenant needs --name and --blueprint.")
    first = _Admin(admin, admin_name, admin_email, username or f"{admin}.{slug}", login, issuer)
    took = _Durations()
    with connect(url, token, as_user, password, timeout=120) as client:
        with took.measure("tenant"):
            known = _ensure_tenant(client, slug, name, first)
        with took.measure("blueprint"):
            _ensure_blueprint(client, slug, blueprint, known["blueprint"])
        one_time = None
        if login is None:
            with took.measure("account"):
                one_time = _ensure_account(client, slug, first, new_password=new_password)
    typer.echo(f"Tenant `{slug}` is live after {took}.")
    for line in _describe_sign_in(address(url), first, one_time):
        typer.echo(line)


def _ensure_tenant(client: httpx.Client, slug: str, name: str, admin: _Admin) -> dict[str, Any]:
    """Creates the tenant and its administrator, as far as they are missing. Returns the tenant's state as it was found. A
    tenant of this slug that is another's: prints that, exit status 2."""
    path = f"/api/identity/v1/tenants/{segment(slug, 'SLUG')}"
    answer = client.get(path)
    if answer.status_code == httpx.codes.NOT_FOUND:
        body = {"slug": slug, "name": name}
        created = client.post("/api/identity/v1/tenants", json=body)
        if created.status_code != httpx.codes.CONFLICT:
            parse_or_refuse(created)
            typer.echo(f"Tenant `{slug}` is made.")
        answer = client.get(path)  # 409: somebody else has made it meanwhile
    found: dict[str, Any] = parse_or_refuse(answer)
    if found["name"] != name:
        _refuse(f"The slug `{slug}` is taken: that tenant is called `{found['name']}`. Choose another slug.")
    where = {"tenant": slug}
    person = client.get(f"/api/identity/v1/people/{segment(admin.slug, '--admin')}", params=where)
    if person.status_code == httpx.codes.NOT_FOUND:
        admins = parse_or_refuse(client.get("/api/identity/v1/people", params={**where, "role": "tenant_admin"}))
        if admins["items"]:
            _refuse(
                f"The slug `{slug}` is taken: that tenant has the administrator `{admins['items'][0]['slug']}`. "
                "Choose another slug; if the tenant is yours, give --admin."
            )
        parse_or_refuse(client.post("/api/identity/v1/people", params=where, json=admin.to_person()))
        typer.echo(f"Administrator `{admin.slug}` is made.")
    else:
        parse_or_refuse(person)
    return found


def _ensure_blueprint(client: httpx.Client, slug: str, file: Path, published: dict[str, Any] | None) -> None:
    """Publishes the file and waits until it is in force. `published`: what the tenant has; another content is left alone."""
    try:
        report = put_blueprint(client, file, slug, dry_run=True)
        if report["published"] and published is not None:
            _refuse(
                f"`{slug}` has version {published['version']} of `{published['name']}`, and the file differs from it. "
                f"A tenant that is there gets another one by `uplift blueprint publish --tenant {slug}`."
            )
        if report["published"]:
            _print_published(put_blueprint(client, file, slug, dry_run=False))
    except typer.Exit:
        if published is None:
            typer.echo(
                f"Tenant `{slug}` is there, without a blueprint. Mend the file and repeat the command.", err=True
            )
        raise
    wait_until_applied(client, file, slug, again="uplift tenant create")


def _print_published(report: dict[str, Any]) -> None:
    """A line with how many things of each kind the blueprint made or changed."""
    counts = [
        f"{sum(len(names) for names in changes.values())} {part}"
        for parts in report["changes"].values()
        for part, changes in parts.items()
    ]
    typer.echo(f"Blueprint `{report['blueprint']}` is published, version {report['version']}: {', '.join(counts)}.")


def _ensure_account(client: httpx.Client, slug: str, admin: _Admin, *, new_password: bool) -> str | None:
    """Opens the administrator's account and waits until the login provider has it. Returns its one-time password; None when
    it was opened before and `new_password` is not asked for."""
    path, where = f"/api/identity/v1/people/{segment(admin.slug, '--admin')}/account", {"tenant": slug}
    found = client.get(path, params=where)
    one_time = None
    if found.status_code == httpx.codes.NOT_FOUND or new_password:
        asked = parse_or_refuse(
            client.post(path, params={**where, "new_password": new_password}, json={"username": admin.username})
        )
        one_time = str(asked["temporary_password"])
        # At once: it is told only here, and the rest may be interrupted.
        typer.echo(f"Account `{admin.username}` has the one-time password {one_time}")
    deadline = time.monotonic() + _WAIT_SECONDS
    while (state := parse_body(client.get(path, params=where)))["state"] == "waiting":
        if time.monotonic() > deadline:
            fail(f"The login provider has not made the account `{admin.username}` yet. Repeat the command.")
        time.sleep(0.1)
    if state["state"] == "failed":
        _refuse(f"The login provider refuses the account `{admin.username}`: {state['error']}")
    return one_time


def _describe_sign_in(base: str, admin: _Admin, one_time: str | None) -> list[str]:
    """Where and how the administrator signs in, and what comes next."""
    if admin.login:
        how = f"with the login `{admin.login}`"
    elif one_time:
        how = f"as `{admin.username}` with that password, and choose another"
    else:
        how = f"as `{admin.username}`. The one-time password was told before; --new-password makes another"
    user = admin.login or admin.username
    return [
        f"Sign in at {base}/ {how}.",
        "Next:",
        f'  uplift api --as {user} -X POST identity/v1/people/PERSON/account --data \'{{"username": "NAME"}}\'',
        f"  uplift ingest --as {user} --source SOURCE FILE",
    ]


def _write_release(release: Release) -> None:
    """Writes the release's folder and prints what to do with it. A folder that differs: prints that, exit status 2."""
    try:
        written = write_release(release)
    except CannotWriteRelease as error:
        _refuse(str(error))
    for file in written:
        typer.echo(f"{file} is written.")
    if not written:
        typer.echo(f"{release.folder} is as it shall be.")
    for line in list_next_steps(release):
        typer.echo(line)


def _refuse(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(REFUSED)
