"""`uplift blueprint`: checks and publishes a tenant's blueprint."""

import time
from pathlib import Path
from typing import Annotated, Any

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
    fail,
    json_of,
    parse_body,
    print_json,
    segment,
    with_cure,
)

_WAIT_SECONDS = 120

commands = typer.Typer(no_args_is_help=True, help="A tenant as a file of YAML or JSON: check it, publish it.")

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="The blueprint.")]
Tenant = Annotated[str | None, typer.Option(help="Another tenant than one's own, for a platform admin.")]


@commands.command()
def check(
    file: File,
    tenant: Tenant = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Say what publishing the file would change, and what stands in its way. Nothing is changed.

    Problems come as lines `file:line:column: pointer: problem; cure`. Exit status: 0 it can be published, 2 it cannot.

    Example: uplift blueprint check acme.yaml
    """
    with connect(url, token, as_user, password, timeout=120) as client:
        report = put_blueprint(client, file, _tenant_of(client, tenant), dry_run=True)
    _print_report(report, as_json=as_json)
    for service in report["unchecked"]:
        typer.echo(f"{file}: /sections/{service}: was not looked at; set IDENTITY_SERVICES_URL", err=True)
    raise typer.Exit(REFUSED if report["unchecked"] else 0)


@commands.command()
def publish(
    file: File,
    tenant: Tenant = None,
    as_json: Json = False,
    url: Url = None,
    token: Token = None,
    as_user: As = "admin",
    password: Password = DEMO_PASSWORD,
) -> None:
    """Publish the file, and wait until every service has applied its section. Nothing is published of a file with problems.

    Exit status: 0 it is in force, 2 it was refused; 1 not every service has answered yet.

    Example: uplift blueprint publish --tenant acme --as platform acme.yaml
    """
    with connect(url, token, as_user, password, timeout=120) as client:
        slug = _tenant_of(client, tenant)
        _print_report(put_blueprint(client, file, slug, dry_run=False), as_json=as_json)
        wait_until_applied(client, file, slug, again="uplift blueprint publish")


def _tenant_of(client: httpx.Client, tenant: str | None) -> str:
    return tenant or str(parse_body(client.get("/api/identity/v1/me"))["tenant"]["slug"])


def put_blueprint(client: httpx.Client, file: Path, tenant: str, *, dry_run: bool) -> dict[str, Any]:
    """Sends the blueprint. Returns the report. Refused: prints the problems, exit status 2."""
    answer = client.put(
        f"/api/identity/v1/tenants/{segment(tenant, '--tenant')}/blueprint",
        params={"dry_run": dry_run},
        content=file.read_bytes(),
        headers={"content-type": "application/json" if file.suffix == ".json" else "application/yaml"},
    )
    if answer.is_error:
        for line in _problems(file, answer):
            typer.echo(line, err=True)
        raise typer.Exit(REFUSED)
    report: dict[str, Any] = json_of(answer)
    return report


def _print_report(report: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    for line in _format_changes(report):
        typer.echo(line)


def _problems(file: Path, answer: httpx.Response) -> list[str]:
    try:
        found = answer.json()["errors"]
        return [
            f"{file}:{each.get('line', 1)}:{each.get('column', 1)}: {each.get('pointer') or '/'}: "
            + with_cure(each["problem"], each.get("cure"))
            for each in found
        ]
    except (ValueError, LookupError, TypeError):
        return [f"{file}: {describe_refusal(answer)}"]


def _format_changes(report: dict[str, Any]) -> list[str]:
    """A line for each change: service, part, kind of change, name."""
    lines = [
        f"{service}: {part}: {what} {name}"
        for service, parts in report["changes"].items()
        for part, changes in parts.items()
        for what, names in changes.items()
        for name in names
    ]
    if not report["published"]:
        return [*lines, f"`{report['blueprint']}` is version {report['version']} already."]
    would = "would become" if report["dry_run"] else "is"
    return [
        *(lines or ["Nothing would change."] if report["dry_run"] else lines),
        f"It {would} version {report['version']}.",
    ]


def wait_until_applied(client: httpx.Client, file: Path, tenant: str, *, again: str) -> None:
    """Returns once every service has applied its section. Refused by one: prints its problems, exit status 2. Not all have
    answered after `_WAIT_SECONDS`: prints that, and that the command `again` asks again; exit status 1."""
    services = _wait_for_answers(client, tenant)
    for name, state in services.items():
        for each in state["problems"] if state["status"] == "rejected" else ():
            typer.echo(
                f"{file}: /sections/{name}{each['pointer']}: {with_cure(each['problem'], each['cure'])}", err=True
            )
    if any(state["status"] == "rejected" for state in services.values()):
        raise typer.Exit(REFUSED)
    if waiting := [name for name, state in services.items() if state["status"] == "pending"]:
        fail(f"Published, and not yet in force at {', '.join(waiting)}: ask again with `{again}`.")


def _wait_for_answers(client: httpx.Client, tenant: str) -> dict[str, Any]:
    """The state of each service's section, once none is pending or after `_WAIT_SECONDS`."""
    until = time.monotonic() + _WAIT_SECONDS
    while True:
        services: dict[str, Any] = parse_body(client.get(f"/api/identity/v1/tenants/{segment(tenant, '--tenant')}"))[
            "services"
        ]
        if all(state["status"] != "pending" for state in services.values()) or time.monotonic() > until:
            return services
        time.sleep(0.2)
