"""Commands for the platform team: replicas by the clock."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from scaling import Schedule, ScheduleError, floor_at, floor_during, read_schedule
from scaling.cluster import ACCOUNT, ClusterError, connect_from_pod, patch_min_replicas, read_namespace
from scaling.comparison import Machine, compare_day
from scaling.costs import Cost, estimate_week
from scaling.measurement import PrometheusError, measure_costs
from scaling.planning import LEG_CPU_MS, PlanOptions, compute_capacity, render_plan
from scaling.traffic import LEGS_SQL, Legs, TrafficError, format_legs, parse_legs
from scaling.values import find_rendering_date, find_staleness, is_current, render_values

from all_in_one.commands.client import fail
from all_in_one.commands.table import lines_of
from all_in_one.scaling_figures import PARTITIONS

scaling = typer.Typer(no_args_is_help=True, help="Replicas by the clock: shift windows for KEDA or a plain HPA.")

ShiftFile = Annotated[Path, typer.Argument(help="Shift windows of an environment, YAML.", exists=True, dir_okay=False)]
Day = Annotated[datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="As of this day; default today.")]


def _day_of(on: datetime | None) -> date:
    return on.date() if on else datetime.now(UTC).date()


def _instant_of(at: datetime | None) -> datetime:
    return at.replace(tzinfo=UTC) if at else datetime.now(UTC)


def load_schedule(path: Path, today: date) -> Schedule:
    """The checked shift file. Ends the command with its problems, a line each."""
    try:
        return read_schedule(path.read_text(), partitions=PARTITIONS, years_from=today.replace(month=1, day=1))
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
    today = _day_of(on)
    if check and into is None:
        fail("--check needs --into: the folder of the files to look at.")
    stale: list[str] = []
    for file in files:
        if into is None:
            typer.echo(render_values(load_schedule(file, today), today), nl=False)
            continue
        output = into / f"scaling-{file.stem}.yaml"
        before = output.read_text() if output.exists() else ""
        # What was right on its day is not refused because of a later year's clocks.
        schedule = load_schedule(file, (find_rendering_date(before) or today) if check else today)
        if check:
            reason = (
                find_staleness(before, schedule, today=today, max_age_days=max_age_days) if before else "It is missing."
            )
            stale += [f"{output}: {reason} Run `uplift scaling render {file} --into {into}`."] if reason else []
        elif find_staleness(before, schedule) or not is_current(before, schedule, today):
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
    now = _instant_of(at)
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
    now = _instant_of(at)
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


LegsFile = Annotated[
    Path, typer.Argument(help="Legs, as `uplift scaling legs` prints them.", exists=True, dir_okay=False)
]
Price = Annotated[float | None, typer.Option(help="Of a replica for an hour, in any currency: shows what it costs.")]


def load_legs(path: Path) -> Legs:
    """A file of legs. Ends the command with the first problem."""
    try:
        return parse_legs(path.read_text())
    except TrafficError as error:
        fail(f"{path}: {error}")


@scaling.command()
def legs(
    database: Annotated[
        list[str],
        typer.Option(
            envvar="UPLIFT_REPORTS_URL", help="A customer's database URL as role reader_<tenant>; once for each."
        ),
    ],
    weeks: Annotated[int, typer.Option(min=1, max=52, help="How many, up to the day before --on.")] = 6,
    minutes: Annotated[int, typer.Option(min=1, max=15, help="Length of an interval.")] = 15,
    on: Day = None,
) -> None:
    """Count the legs of the last weeks by intervals of their end, from the report views of each customer's reader.

    Example: uplift scaling legs --database postgresql://reader_demo:…@postgres/uplift > legs.csv
    """
    today = _day_of(on)
    # Workdays are local: a leg may have ended on the day before or after in UTC.
    days = {"first": today - timedelta(weeks=weeks), "last": today - timedelta(days=1), "minutes": minutes}
    found: dict[datetime, int] = {}
    for url in database:
        try:
            with psycopg.connect(url.replace("+psycopg", "")) as connection:
                for at, count in connection.execute(LEGS_SQL, days):
                    found[at] = found.get(at, 0) + count
        except psycopg.Error as error:
            fail(f"The database refuses: {str(error).strip().splitlines()[0]}.")
    typer.echo(format_legs(found), nl=False)


@scaling.command()
def plan(
    file: LegsFile,
    time_zone: Annotated[str, typer.Option(help="Of the site, or of most agents; an IANA name.")],
    quantile: Annotated[float, typer.Option(min=0.5, max=1, help="Of each quarter hour over the weeks.")] = 0.9,
    headroom: Annotated[float, typer.Option(min=1, max=10, help="Factor on top of the quantile.")] = 1.25,
    capacity: Annotated[
        list[str] | None, typer.Option(help="Legs a second of one replica, e.g. ingest.api=20; once for each role.")
    ] = None,
    cpu_millicores: Annotated[int, typer.Option(min=1, help="CPU that a replica requests.")] = 100,
    utilization: Annotated[
        float, typer.Option(min=0.1, max=1, help="Share of it to be used, as the HPA aims at.")
    ] = 0.7,
    lead_minutes: Annotated[int, typer.Option(min=0, max=180)] = 15,
    holiday: Annotated[
        list[datetime] | None,
        typer.Option(formats=["%Y-%m-%d"], help="A date on which no window begins; not counted. Once for each."),
    ] = None,
    price: Price = None,
    on: Day = None,
) -> None:
    """Propose a shift file from traffic, with what it costs beside a fleet for the peak.

    Without --capacity it is what was measured of each role, by the CPU that a replica requests. Roles whose load is not legs
    (people at the portal) are left to you.

    Example: uplift scaling plan legs.csv --time-zone Europe/Berlin --price 0.01 > shifts.yaml
    """
    today = _day_of(on)
    capacities = {role: compute_capacity(ms, cpu_millicores, utilization) for role, ms in LEG_CPU_MS.items()}
    capacities |= dict(_parse_capacity(each) for each in capacity or ())
    options = PlanOptions(
        zone=time_zone,
        capacities=capacities,
        quantile=quantile,
        headroom=headroom,
        lead_minutes=lead_minutes,
        holidays=[each.date() for each in holiday or ()],
    )
    try:
        text = render_plan(load_legs(file), options, partitions=PARTITIONS, today=today)
    except (ScheduleError, TrafficError) as error:
        fail(str(error))
    schedule = read_schedule(text, partitions=PARTITIONS, years_from=today.replace(month=1, day=1))
    costs = {f"{each.service}.{each.role}": estimate_week(each, today) for each in schedule.roles}
    lines = [
        "A week, by the windows alone, beside as many replicas as at the peak all the time:",
        *_table(costs, price),
    ]
    typer.echo("".join(f"# {line}\n" for line in lines) + text, nl=False)


def _parse_capacity(text: str) -> tuple[tuple[str, Any], float]:
    name, _, value = text.partition("=")
    service, _, role = name.partition(".")
    try:
        figure = float(value)
    except ValueError:
        figure = 0.0
    if role not in ("api", "work") or not figure > 0:
        fail(f"--capacity {text}: write <service>.<api or work>=<legs a second>, such as ingest.api=20.")
    return (service, role), figure


def _table(costs: dict[str, Cost], price: float | None) -> list[str]:
    """A line for each role and one for all: replica-hours, those of a static fleet, the share saved, and what both cost."""
    everything = Cost(
        *(sum(getattr(each, name) for each in costs.values()) for name in ("replica_hours", "static_hours"))
    )
    rows = [
        {
            "role": name,
            "hours": f"{each.replica_hours:,.0f}",
            "static": f"{each.static_hours:,.0f}",
            "saved": f"{each.saved:.0%}",
            "cost": None if price is None else f"{each.replica_hours * price:,.2f}",
            "static cost": None if price is None else f"{each.static_hours * price:,.2f}",
        }
        for name, each in [*costs.items(), ("all", everything)]
    ]
    fields = [name for name in rows[0] if price is not None or "cost" not in name]
    return lines_of([dict(zip(fields, fields, strict=True)), *rows], fields)


@scaling.command()
def simulate(
    file: ShiftFile,
    legs: Annotated[Path, typer.Option(help="A day of legs by the minute.", exists=True, dir_okay=False)],
    cpu_millicores: Annotated[int, typer.Option(min=1, help="CPU that a replica requests.")] = 100,
    utilization: Annotated[float, typer.Option(min=0.1, max=1, help="Share of it that the HPA aims at.")] = 0.7,
    cold_start_seconds: Annotated[int, typer.Option(min=0, help="From a replica's start to its first answer.")] = 90,
    price: Price = None,
    on: Day = None,
) -> None:
    """Play the HPA's loop over a recorded day: by the clock and CPU, by CPU alone, and with a fleet for the peak.

    `short` are the minutes in which the ready replicas had less CPU than the legs took.

    Example: uplift scaling simulate shifts.yaml --legs docs/samples/legs-of-a-day.csv --price 0.01
    """
    schedule = load_schedule(file, _day_of(on))
    machine = Machine(cpu_millicores, utilization, cold_start_seconds)
    rows = [
        {
            "role": f"{service}.{role}",
            "way": way,
            "short": f"{outcome.short_minutes:.1f}",
            "hours": f"{outcome.replica_hours:,.0f}",
            "most": str(outcome.most),
            **({} if price is None else {"cost": f"{outcome.replica_hours * price:,.2f}"}),
        }
        for (service, role), ways in compare_day(schedule.roles, load_legs(legs), machine).items()
        for way, outcome in ways.items()
    ]
    if not rows:
        fail(f"{file} names no role whose load is legs; these are {', '.join(map('.'.join, LEG_CPU_MS))}.")
    typer.echo("\n".join(lines_of([{name: name for name in rows[0]}, *rows], list(rows[0]))))


@scaling.command()
def report(
    prometheus: Annotated[str, typer.Option(envvar="UPLIFT_PROMETHEUS_URL", help="With kube-state-metrics' figures.")],
    namespace: Annotated[str, typer.Option(help="Of the release.")] = "uplift",
    release: Annotated[str, typer.Option(help="Helm's name of it.")] = "uplift",
    days: Annotated[int, typer.Option(min=1, max=366, help="How many, up to now.")] = 7,
    price: Price = None,
) -> None:
    """Show the replica-hours that ran, by role, beside as many replicas as at the peak all the time.

    Example: uplift scaling report --prometheus http://prometheus.monitoring.svc:9090 --price 0.01
    """
    try:
        costs = measure_costs(prometheus, namespace=namespace, release=release, days=days)
    except PrometheusError as error:
        fail(str(error))
    typer.echo("\n".join(_table(costs, price)))
