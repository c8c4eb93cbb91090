"""Files of people, as large and nasty as the door takes them: what they cost grows with their size and no faster."""

import time
from collections.abc import Callable
from datetime import date
from uuid import uuid4

import pytest
from identity.model.importing import ImportReport, plan_import, read_sheet
from identity.model.org import OrgTree
from servicekit.errors import Invalid

from tests.hostile.conftest import HostileSuite

LINES = 1500


def planned(data: bytes) -> ImportReport:
    plan = plan_import(
        read_sheet(data),
        people=[],
        tree=OrgTree([]),
        tenant="acme",
        day=date(2026, 3, 2),
        issuer="https://issuer.example.org",
        new_id=uuid4,
    )
    return plan.report


def lines(header: str, line: str, count: int) -> bytes:
    return f"{header}\n".encode() + "".join(f"{line.replace('#', str(number))}\n" for number in range(count)).encode()


def seconds(data: bytes) -> float:
    began = time.process_time()
    planned(data)
    return time.process_time() - began


@pytest.mark.parametrize(
    "file",
    [
        lambda count: lines("slug,display_name,org_path", "p#,P,U#/V#", count),
        lambda count: lines("display_name,email", "Namesake,e#@example.org", count),
        lambda count: lines("slug,display_name,external_id:calls", "p#,P,same", count),
        lambda count: lines("slug,display_name,login", "p#,P,same", count),
        lambda count: lines("slug,display_name", 'p#,"never closed', count),
    ],
    ids=["units", "namesakes", "one external id", "one login", "quotes"],
)
def test_four_times_the_lines_are_not_sixteen_times_the_work(file: Callable[[int], bytes]) -> None:
    once = min(seconds(file(LINES)) for _ in range(2))
    assert min(seconds(file(4 * LINES)) for _ in range(2)) < 10 * once + 0.5


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"slug," + b",".join(b"attribute:a%d" % number for number in range(100_000)), "at most 200"),
        (b"slug,display_name\n" + b"\n" * 250_000, "more than 200,000 lines"),
        (b"slug,display_name\n" + b'a,"b\n' * 500_000, "more than 200,000 lines"),
    ],
    ids=["columns", "empty lines", "quotes never closed"],
)
def test_a_file_beyond_all_bounds_is_refused_soon(data: bytes, told: str) -> None:
    began = time.process_time()
    with pytest.raises(Invalid, match=told):
        planned(data)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("p,P,,," + "|".join(["agent"] * 10_000), "characters"),
        ("p,P,,{},".format("|".join(f"v{number}" for number in range(10_000))), "characters"),
        ("p,P,{},,".format("/".join(["u"] * 2000)), "units"),
    ],
    ids=["roles", "values", "a path"],
)
def test_one_line_that_is_too_much_sinks_no_other(line: str, reason: str) -> None:
    report = planned(f"slug,display_name,org_path,attribute:skill,roles\n{line}\nq,Q,,,agent\n".encode())
    assert [(each.line, reason in each.reason) for each in report.rejected] == [(2, True)]
    assert [each.slug for each in report.created] == ["q"]


async def test_a_persons_lists_are_bounded(suite: HostileSuite) -> None:
    held = [{"source": "calls", "external_id": f"x{number}"} for number in range(501)]
    answer = await suite.client("identity").patch("/people/ada", json={"external_ids": held})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/body/external_ids")
