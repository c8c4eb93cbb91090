"""Commands for the platform team: replicas by the clock."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from contracts import ALL_SERVICES
from contracts.topics import TOPICS
from scaling import Schedule, ScheduleError, floor_at, floor_during, read_schedule
from scaling.cluster import ACCOUNT, ClusterError, connect_from_pod, patch_min_replicas, read_namespace
from scaling.values import find_staleness, is_current, render_values

from all_in_one.commands.client import fail
from all_in_one.commands.table import lines_of

scaling = typer.Typer(no_args_is_help=True, help="Replicas by the clock: shift windows for KEDA or a plain HPA.")

ShiftFile = Annotated[Path, typer.Argument(help="Shift windows of an environment, YAML.", exists=True, dir_okay=False)]
Day = Annotated[datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="As of this day; default today.")]


def load_schedule(path: Path, today: date) -> Schedule:
    """The checked shift file. Ends the command with its problems, a line each."""
    partitions = {
        service: max(each.partitions for each in TOPICS.values() if service in each.readers) for service in ALL_SERVICES
    }
    try:
        return read_schedule(path.read_text(), partitions=partitions, years_from=today.replace(month=1, day=1))
    except ScheduleError as error:
        fail("\n".join(f"{path}: {each}" for each in error.problems))


@scaling.command()
def render(
    files: Annotated[list[Path], typer.Argument(help="Shift files, YAML.", exists=True, dir_okay=False)],
    into: Annotated[
        Path | None,
        typer.Option(help="Write scaling-<name of the shift file>.yaml here.", file_okay=False, exists=True),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say which files in --into are not up to date.")] = False,
    max_age_days: Annotated[
        int | None, typer.Option(help="With --check: and which are older than this, and would be different today.")
    ] = None,
    on: Day = None,
) -> None:
    """Turn shift windows into a values file for the chart: KEDA's cron triggers, and the windows for a plain HPA.

    Holidays and extra days of the next 60 days are written as dates: render again every night. A file that would differ in
    nothing but its date stays as it is. Without --into it is printed.

    Example: uplift scaling render charts/uplift/shifts/*.yaml --into charts/uplift/values
    """
    today = on.date() if on else datetime.now(UTC).date()
    if check and into is None:
        fail("--check needs --into: the folder of the files to look at.")
    stale: list[str] = []
    for file in files:
        schedule = load_schedule(file, today)
        if into is None:
            typer.echo(render_values(schedule, today), nl=False)
            continue
        output = into / f"scaling-{file.stem}.yaml"
        before = output.read_text() if output.exists() else None
        if check:
            reason = (
                find_staleness(before, schedule, today=today, max_age_days=max_age_days) if before else "It is missing."
            )
            stale += [f"{output}: {reason} Run `uplift scaling render {file} --into {into}`."] if reason else []
        elif before is None or find_staleness(before, schedule) or not is_current(before, schedule, today):
            output.write_text(render_values(schedule, today))
    if stale:
        fail("\n".join(stale))


@scaling.command()
def floor(
    file: ShiftFile,
    at: Annotated[datetime | None, typer.Option(help="A time in UTC; default now.")] = None,
) -> None:
    """Show how many replicas the shift windows ask for at a time.

    Example: uplift scaling floor charts/uplift/shifts/prod.yaml --at 2026-12-24T09:00:00
    """
    now = at.replace(tzinfo=UTC) if at else datetime.now(UTC)
    schedule = load_schedule(file, now.date())
    rows = [
        {"service": each.service, "role": each.role, "replicas": floor_at(each, now), "min": each.min, "max": each.max}
        for each in schedule.roles
    ]
    typer.echo("\n".join(lines_of(rows, ["service", "role", "replicas", "min", "max"])))


@scaling.command()
def apply(
    file: ShiftFile,
    account: Annotated[
        Path, typer.Option(help="Folder with the service account's token, ca.crt and namespace.")
    ] = ACCOUNT,
    api: Annotated[str, typer.Option(help="Where Kubernetes' API answers.")] = "https://kubernetes.default.svc",
    every_minutes: Annotated[int, typer.Option(min=1, max=60, help="How often this runs.")] = 5,
    at: Annotated[datetime | None, typer.Option(help="A time in UTC; default now.")] = None,
) -> None:
    """Set minReplicas of the release's plain HPAs to what the shift windows ask for; runs in a pod of a CronJob.

    A window that opens before the next run counts already. What an HPA asks for by CPU stays as it is.

    Example: uplift scaling apply /shifts/shifts.yaml
    """
    now = at.replace(tzinfo=UTC) if at else datetime.now(UTC)
    schedule = load_schedule(file, now.date())
    failures: list[str] = []
    try:
        namespace = read_namespace(account)
        with connect_from_pod(account, api) as client:
            for each in schedule.roles:
                name, replicas = (
                    f"{schedule.release}-{each.service}-{each.role}",
                    floor_during(each, now, every_minutes),
                )
                try:
                    patch_min_replicas(client, namespace, name, replicas)
                    typer.echo(f"{name}: {replicas}")
                except ClusterError as error:
                    failures.append(str(error))
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}. This runs in a pod that has the token of a service account.")
    if failures:
        fail("\n".join(failures))
