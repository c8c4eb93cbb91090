"""Visibility: a role in one org unit gives no access to others."""

import json
from typing import Any

import pytest
from ingest_records import PEOPLE, configure_source, contact
from testkit import Harness, org_unit, person

RECORDS = "/sources/connect/records"
UNITS = [org_unit("team-a"), org_unit("team-b")]
SCOPED = [
    person("bea", team="team-b", external={"connect": "bea"}),
    person("quinn-a", roles=[("quality_analyst", "team-a")]),
    person("theo-a", roles=[("tenant_admin", "team-a")]),
    person("robot-a", roles=[("integration", "team-a")], kind="machine"),
    person("toni", roles=["trainer"]),
]


@pytest.fixture
async def two_teams(ingest: Harness) -> dict[str, Any]:
    """The receipt of a call of each team's, and of one of somebody unknown."""
    await ingest.apply_directory("t1", people=[*PEOPLE, *SCOPED], org_units=UNITS)
    await configure_source(ingest, "t1")
    calls = [contact("of-a", "ada"), contact("of-b", "bea"), contact("of-nobody", "eve"), {"ContactId": "x"}]
    body = "\n".join(json.dumps(each) for each in calls).encode()
    return (await ingest.client_as("robot", "t1").post(RECORDS, content=body)).json()


READS = ("/sources", "/sources/connect", "/sources/connect/held", "/receipts", "/receipts/{id}", "/receipts/{id}/records", "DELETE /receipts/{id}?dry_run=true")  # fmt: skip
WRITES = (
    ("POST", RECORDS), ("PUT", "/sources/connect"), ("POST", "/receipts/{id}/replay"), ("POST", "/receipts/{id}/cancel"),
    ("DELETE", "/receipts/{id}"),
)  # fmt: skip


@pytest.mark.parametrize("path", READS)
async def test_what_is_of_the_whole_tenant_is_for_roles_in_all_of_it(
    ingest: Harness, two_teams: dict[str, Any], path: str
) -> None:
    for who, status in {
        "robot": 200, "theo": 200, "quinn": 200, "quinn-a": 403, "theo-a": 403, "robot-a": 403, "lea": 403, "ada": 403,
        "toni": 403,
    }.items():  # fmt: skip
        method, _, address = path.rpartition(" ")
        answer = await ingest.client_as(who, "t1").request(method or "GET", address.format(id=two_teams["id"]))
        assert answer.status_code == status, (who, answer.text)
        assert status == 200 or '"of-' not in answer.text


@pytest.mark.parametrize("method,path", WRITES)
async def test_only_roles_in_the_whole_tenant_change_anything(
    ingest: Harness, two_teams: dict[str, Any], method: str, path: str
) -> None:
    for who in ("quinn", "quinn-a", "theo-a", "robot-a", "lea", "ada", "toni"):
        body = {"vendor": "amazon-connect"} if method == "PUT" else None
        answer = await ingest.client_as(who, "t1").request(method, path.format(id=two_teams["id"]), json=body)
        assert answer.status_code == 403, (who, answer.text)


async def test_an_analyst_of_a_unit_sees_its_interactions_without_raw_records(
    ingest: Harness, two_teams: dict[str, Any]
) -> None:
    async def found(who: str, external: str) -> list[dict[str, Any]]:
        answer = await ingest.client_as(who, "t1").get("/interactions", params={"external_id": external})
        return answer.json()["items"]

    (of_a,), (of_b,) = await found("quinn", "of-a"), await found("quinn", "of-b")
    for who in ("quinn-a", "lea"):
        assert [each["id"] for each in await found(who, "of-a")] == [of_a["id"]]
        assert await found(who, "of-b") == []
        assert await found(who, "of-nobody") == []
        whole = (await ingest.client_as(who, "t1").get(f"/interactions/{of_a['id']}")).json()
        assert (len(whole["versions"]), whole["parts"]) == (1, [])
        assert (await ingest.client_as(who, "t1").get(f"/interactions/{of_b['id']}")).status_code == 404
    whole = (await ingest.client_as("quinn", "t1").get(f"/interactions/{of_b['id']}")).json()
    assert whole["parts"][0]["raw"]
