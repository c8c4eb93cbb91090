"""A source that an older release stored and this one cannot use stops neither the event door nor other sources."""

import pytest
from ingest_records import PEOPLE, configure_source, contact
from testkit import Harness, org_unit, person, tenant


async def test_a_source_that_cannot_be_used_is_passed_over_with_an_error(
    ingest: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    theo = ingest.client_as("theo", "t1")
    second = {"vendor": "amazon-connect", "title": "second"}
    assert (await theo.put("/sources/second", json=second)).status_code in (200, 201)
    records = [contact("c-1", "eve")]
    for source in ("connect", "second"):
        answer = await ingest.client_as("robot", "t1").post(f"/sources/{source}/records", json=records)
        assert answer.status_code in (200, 202), answer.text
    async with ingest.context.sessions.begin(["t1"], now=ingest.now) as session:
        await session.execute(
            """UPDATE source SET options = '{"of": "old"}' WHERE tenant = 't1' AND slug = 'connect'"""
        )
    eve = person("eve", team="team-a", external={"connect": "eve", "second": "eve"})
    people = [*PEOPLE, eve]
    of_tenant = tenant("t1", time_zone="Europe/Berlin")
    await ingest.apply_directory("t1", people=people, org_units=[org_unit("team-a")], of_tenant=of_tenant)
    named = await ingest.rows("t1", "SELECT source FROM leg WHERE agent_id IS NOT NULL")
    assert [row["source"] for row in named] == ["second"]
    assert "the source connect cannot be read any more" in caplog.text
    answer = await ingest.client_as("robot", "t1").post("/sources/connect/records", json=records)
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:uplift:problem:stored-unreadable")
    await configure_source(ingest, "t1")
    assert (await ingest.client_as("robot", "t1").post("/sources/connect/records", json=records)).status_code == 200
