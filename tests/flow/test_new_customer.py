"""`uplift tenant create`: from the command to a customer's first KPI value, repeated, interrupted, refused."""

import json
import re
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from testkit import wait_for

from tests.flow.scenario import SOURCE, blueprint, ndjson, records_of
from tests.flow.suite import PASSWORD, PLAIN, UPLIFT, Embedded

pytestmark = pytest.mark.timeout(240)

MOST_SECONDS = 60
"""From the command to the first KPI value of a file, without the time that a person takes."""


def without_logins(bundle: dict[str, Any]) -> dict[str, Any]:
    for person in bundle["sections"]["identity"]["people"]:
        del person["login"]
    return bundle


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "customer.json"
    path.write_text(json.dumps(without_logins(blueprint())))
    return path


def command(suite: Embedded, *words: str) -> list[str]:
    return [str(UPLIFT), *words, "--url", suite.url, "--password", PASSWORD]


def create(
    suite: Embedded, slug: str, file: Path, *options: str, name: str = "Newcomer"
) -> subprocess.CompletedProcess[str]:
    words = ("tenant", "create", slug, "--name", name, "--blueprint", str(file), "--as", "platform", *options)
    return subprocess.run(command(suite, *words), capture_output=True, text=True, timeout=120)


def one_time_password(printed: str) -> str:
    found = re.search(r"has the one-time password (\S+)", printed)
    assert found, printed
    return found[1]


def sign_in_problem(suite: Embedded, username: str, password: str) -> str:
    """What the provider says of this password by the password grant, which takes no temporary one."""
    form = {"grant_type": "password", "client_id": "uplift-cli", "username": username, "password": password}
    answer = httpx.post(f"{suite.url}/oidc/token", data=form, timeout=20, verify=PLAIN)
    return str(answer.json()["error_description"])


def is_good(suite: Embedded, username: str, password: str) -> bool:
    return "The password is temporary" in sign_in_problem(suite, username, password)


def states(suite: Embedded, slug: str) -> Sequence[str]:
    services = suite.call("platform", "GET", f"/api/identity/v1/tenants/{slug}")["services"]
    return [state["status"] for state in services.values()]


def entries(suite: Embedded, slug: str) -> list[dict[str, Any]]:
    suite.wait_until_idle()
    return suite.all_items("platform", "/api/identity/v1/audit", tenant=slug)


def test_from_the_command_to_the_first_value_in_a_minute(started: Embedded, tmp_path: Path) -> None:
    bundle = without_logins(blueprint())
    file, records = tmp_path / "customer.json", tmp_path / "records.ndjson"
    file.write_text(json.dumps(bundle))
    records.write_bytes(ndjson([record for day in range(3) for record in records_of(day)]))
    started.create_account("chief.fast", "fast")

    began = time.monotonic()
    done = create(started, "fast", file, "--admin", "chief", "--login", "chief.fast")
    live = time.monotonic() - began
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert set(states(started, "fast")) == {"applied"}

    def can_work() -> bool:
        return started.request("chief.fast", "GET", "/api/ingest/v1/behind").is_success

    wait_for(can_work, seconds=30, every=0.05)
    sent = subprocess.run(
        command(started, "ingest", "--as", "chief.fast", "--source", SOURCE, str(records)),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert sent.returncode == 0, sent.stdout + sent.stderr

    def has_value() -> bool:
        params = {"by": "agent", "grain": "workday", "from": "2026-03-01", "to": "2026-04-01"}
        path = "/api/kpi-engine/v1/kpis/aht/values"
        items = started.call("chief.fast", "GET", path, params=params)["items"]
        return any(each["value"] is not None for each in items)

    wait_for(has_value, seconds=30, every=0.05)
    took = time.monotonic() - began
    print(f"{done.stdout}\nlive after {live:.1f} s, first value after {took:.1f} s")
    assert took < MOST_SECONDS
    assert re.search(r"is live after [\d.]+ s \(tenant [\d.]+ s, blueprint [\d.]+ s\)", done.stdout)
    assert f"Sign in at {started.url}/ with the login `chief.fast`." in done.stdout


def test_the_administrator_gets_an_account_with_a_one_time_password(started: Embedded, file: Path) -> None:
    done = create(started, "opened", file, "--admin", "chief", "--admin-email", "chief@example.org")
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    password = one_time_password(done.stdout)
    assert is_good(started, "chief.opened", password)
    assert f"Sign in at {started.url}/ as `chief.opened` with that password" in done.stdout
    where = {"tenant": "opened"}
    person = started.call("platform", "GET", "/api/identity/v1/people/chief", params=where)
    assert ([each["role"] for each in person["roles"]], person["email"]) == (["tenant_admin"], "chief@example.org")

    before = entries(started, "opened")
    again = create(started, "opened", file, "--admin", "chief", "--admin-email", "chief@example.org")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "one-time password " + password not in again.stdout
    assert "--new-password makes another" in again.stdout
    assert is_good(started, "chief.opened", password), "a repeated call leaves the password alone"
    assert entries(started, "opened") == before, "and changes nothing"

    other = create(started, "opened", file, "--admin", "chief", "--new-password")
    assert is_good(started, "chief.opened", one_time_password(other.stdout))
    assert not is_good(started, "chief.opened", password)


@pytest.mark.parametrize("printed", ["Tenant `", "Administrator `", "Blueprint `", "Account `"])
def test_after_a_kill_it_goes_on(printed: str, started: Embedded, file: Path) -> None:
    """SIGKILL as soon as it has said that a step is done: whatever it was doing then, the next call brings to its end."""
    slug = "killed-" + re.sub(r"[^a-z]", "", printed.lower())
    words = ("tenant", "create", slug, "--name", "Killed", "--blueprint", str(file), "--as", "platform")
    with subprocess.Popen(command(started, *words), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        seen = ""
        for line in process.stdout:
            seen += line
            if line.startswith(printed):
                process.kill()
                break
    assert printed in seen
    done = create(started, slug, file, name="Killed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(states(started, slug)) == {"applied"}
    told = seen if printed == "Account `" else done.stdout
    assert is_good(started, f"admin.{slug}", one_time_password(told))
    made = [each for each in entries(started, slug) if (each["kind"], each["action"]) == ("tenant", "created")]
    published = [
        each for each in entries(started, slug) if (each["kind"], each["action"]) == ("blueprint", "published")
    ]
    assert (len(made), len(published)) == (1, 1)


def test_a_wrong_blueprint_is_told_by_pointer_and_cure_and_mended(started: Embedded, tmp_path: Path) -> None:
    bundle = without_logins(blueprint())
    bundle["sections"]["training"]["rules"][0]["template"] = "silence-basic"
    file = tmp_path / "customer.json"
    file.write_text(json.dumps(bundle))
    done = create(started, "mended", file)
    assert done.returncode == 2, done.stdout + done.stderr
    (problem, left) = done.stderr.splitlines()
    assert "/sections/training/rules/0/template: " in problem
    assert "silence-basics" in problem, "the cure"
    assert left == "Tenant `mended` is there, without a blueprint. Mend the file and repeat the command."
    assert started.call("platform", "GET", "/api/identity/v1/tenants/mended")["blueprint"] is None

    bundle["sections"]["training"]["rules"][0]["template"] = "silence-basics"
    file.write_text(json.dumps(bundle))
    done = create(started, "mended", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert is_good(started, "admin.mended", one_time_password(done.stdout))


def test_a_taken_slug_is_left_alone(started: Embedded, file: Path, tmp_path: Path) -> None:
    assert create(started, "taken", file, name="First").returncode == 0
    before = entries(started, "taken")

    other_name = create(started, "taken", file, name="Second")
    assert (other_name.returncode, other_name.stderr) == (
        2,
        "The slug `taken` is taken: that tenant is called `First`. Choose another slug.\n",
    )
    other_admin = create(started, "taken", file, "--admin", "intruder", name="First")
    assert other_admin.returncode == 2
    assert "that tenant has the administrator `admin`" in other_admin.stderr
    bundle = without_logins(blueprint())
    del bundle["sections"]["kpi-engine"]["kpis"][1]
    other = tmp_path / "other.json"
    other.write_text(json.dumps(bundle))
    other_file = create(started, "taken", other, name="First")
    assert other_file.returncode == 2
    assert "uplift blueprint publish --tenant taken" in other_file.stderr
    assert entries(started, "taken") == before


@pytest.mark.parametrize("slug, said", [("Not A Slug", "must match the pattern"), ("platform", "taken")])
def test_a_name_that_cannot_be_is_refused(started: Embedded, file: Path, slug: str, said: str) -> None:
    done = create(started, slug, file)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_only_a_platform_admin_makes_tenants(started: Embedded, file: Path) -> None:
    started.create_account("chief.only", "only")
    assert create(started, "only", file, "--login", "chief.only").returncode == 0
    done = subprocess.run(
        command(started, "tenant", "create", "more", "--name", "More", "--blueprint", str(file), "--as", "chief.only"),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
