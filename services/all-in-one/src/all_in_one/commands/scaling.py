"""Commands for the platform team: replicas by the clock."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from contracts import ALL_SERVICES
from contracts.topics import TOPICS
from scaling import Schedule, ScheduleError, floor_at, read_schedule
from scaling.values import find_staleness, render_values

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
    file: ShiftFile,
    output: Annotated[Path | None, typer.Option(help="Write here, in place of the terminal.", dir_okay=False)] = None,
    check: Annotated[bool, typer.Option("--check", help="Only say whether --output must be rendered again.")] = False,
    on: Day = None,
) -> None:
    """Turn shift windows into KEDA cron triggers, as a values file for the chart.

    Holidays and extra days of the next 60 days are written as dates: render again every night.

    Example: uplift scaling render charts/uplift/shifts/prod.yaml --output charts/uplift/values/scaling-prod.yaml
    """
    today = on.date() if on else datetime.now(UTC).date()
    schedule = load_schedule(file, today)
    if not check:
        text = render_values(schedule, today)
        if output is None:
            typer.echo(text, nl=False)
        else:
            output.write_text(text)
        return
    if output is None:
        fail("--check needs --output: the file to look at.")
    reason = find_staleness(output.read_text(), schedule, today) if output.exists() else "It is not there."
    if reason:
        fail(f"{output}: {reason} Run `uplift scaling render {file} --output {output}`.")


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
