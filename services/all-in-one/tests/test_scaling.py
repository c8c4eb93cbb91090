"""`uplift scaling`: files that are rendered and checked, plans that can be pasted, figures that are the page's."""

from pathlib import Path

import pytest
from all_in_one.main import app
from all_in_one.scaling_figures import SAMPLES, ZONE
from typer.testing import CliRunner, Result

SHIFTS = """
time_zone: Europe/Berlin
holidays: [2026-12-25]
services:
  ingest:
    api:
      min: 2
      max: 12
      windows: [{name: day, days: mon-fri, from: "08:00", to: "20:00", replicas: 6}]
"""


def scaling(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["scaling", *map(str, arguments)])


@pytest.fixture
def shifts(tmp_path: Path) -> Path:
    (tmp_path / "values").mkdir()
    file = tmp_path / "prod.yaml"
    file.write_text(SHIFTS)
    return file


def test_a_rendered_file_is_right_on_every_later_day_until_somebody_changes_something(shifts: Path) -> None:
    values = shifts.parent / "values"
    written = values / "scaling-prod.yaml"
    missing = scaling("render", shifts, "--into", values, "--check")
    assert missing.exit_code == 1
    assert f"scaling-prod.yaml: It is missing. Run `uplift scaling render {shifts} --into {values}`." in missing.output
    assert scaling("render", shifts, "--into", values, "--on", "2026-11-01").exit_code == 0
    for day in ("2026-11-01", "2026-12-20", "2029-01-01"):
        assert scaling("render", shifts, "--into", values, "--check", "--on", day).exit_code == 0, day
    shifts.write_text(SHIFTS.replace("replicas: 6", "replicas: 7"))
    stale = scaling("render", shifts, "--into", values, "--check", "--on", "2026-11-01")
    assert stale.exit_code == 1
    assert "has changed since it was rendered. Run `uplift scaling render" in stale.output
    shifts.write_text(SHIFTS)
    written.write_text(written.read_text().replace("max: 12", "max: 13"))
    assert scaling("render", shifts, "--into", values, "--check").exit_code == 1, "edited by hand"


def test_an_old_file_is_told_where_it_is_asked_for(shifts: Path) -> None:
    values = shifts.parent / "values"
    scaling("render", shifts, "--into", values, "--on", "2026-11-01")
    aged = ("render", shifts, "--into", values, "--check", "--max-age-days", "45", "--on")
    assert scaling(*aged, "2026-12-16").exit_code == 0
    assert "It is from 2026-11-01" in scaling(*aged, "2026-12-17").output


def test_every_night_writes_only_what_has_changed(shifts: Path) -> None:
    values = shifts.parent / "values"
    written = values / "scaling-prod.yaml"
    scaling("render", shifts, "--into", values, "--on", "2026-10-01")
    before = written.read_text()
    scaling("render", shifts, "--into", values, "--on", "2026-10-10")
    assert written.read_text() == before, "the holiday is not within sixty days yet"
    scaling("render", shifts, "--into", values, "--on", "2026-11-20")
    assert "2026-12-18" in written.read_text()


def test_a_plan_can_be_pasted(tmp_path: Path) -> None:
    planned = scaling(
        "plan", SAMPLES / "legs.csv", "--time-zone", ZONE, "--price", "0.01", "--capacity", "ingest.api=10",
        "--holiday", "2026-12-25",
    )  # fmt: skip
    assert planned.exit_code == 0, planned.output
    lines = planned.output.splitlines()
    assert lines[1].split() == ["#", "role", "hours", "static", "saved", "cost", "static", "cost"]
    assert "# ingest.api: 10 legs a second and replica." in lines
    file = tmp_path / "prod.yaml"
    file.write_text(planned.output)
    rendered = scaling("render", file, "--into", tmp_path)
    assert rendered.exit_code == 0, rendered.output
    assert scaling("render", file, "--into", tmp_path, "--check").exit_code == 0
    assert "2026-12-25" in (tmp_path / "scaling-prod.yaml").read_text()
    played = scaling("simulate", file, "--legs", SAMPLES / "legs-of-a-day.csv", "--price", "0.01")
    assert played.exit_code == 0, played.output
    assert len(played.output.splitlines()) == 1 + 4 * 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--capacity", "ingest=10"], "write <service>.<api or work>=<legs a second>"),
        (["--capacity", "ingest.api=0"], "write <service>.<api or work>=<legs a second>"),
        (["--capacity", "ingst.api=1"], "There is no service `ingst`"),
        (["--time-zone", "Europe/Berln"], "There is no time zone `Europe/Berln`"),
    ],
)
def test_what_cannot_be_planned_is_told(arguments: list[str], words: str) -> None:
    done = scaling("plan", SAMPLES / "legs.csv", "--time-zone", ZONE, *arguments)
    assert done.exit_code == 1
    assert words in done.output


def test_a_role_whose_load_is_not_legs_cannot_be_played(shifts: Path) -> None:
    shifts.write_text(SHIFTS.replace("ingest", "identity"))
    done = scaling("simulate", shifts, "--legs", SAMPLES / "legs-of-a-day.csv")
    assert done.exit_code == 1
    assert "names no role whose load is legs; these are ingest.api, " in done.output


def test_no_database_and_no_prometheus_are_sentences() -> None:
    legs = scaling("legs", "--database", "postgresql://reader_demo:x@127.0.0.1:1/uplift")
    assert (legs.exit_code, legs.output.startswith("The database refuses: ")) == (1, True)
    report = scaling("report", "--prometheus", "http://127.0.0.1:1")
    assert (report.exit_code, "Prometheus does not answer" in report.output) == (1, True)
