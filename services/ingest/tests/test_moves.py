"""A lead sees the interactions of the days on which the agent was in the lead's team."""

from datetime import date

from ingest_records import contact
from testkit import Harness, org_unit, person, person_after_move


async def test_interactions_follow_the_membership_of_their_day(ingest: Harness) -> None:
    people = [
        person_after_move("ada", "team-a", "team-b", date(2026, 3, 3), external={"connect": "ada"}),
        person("leb", roles=[("team_lead", "team-b")]),
    ]
    await ingest.apply_directory("t1", people=people, org_units=[org_unit("team-a"), org_unit("team-b")])
    later = contact("c-2")
    for name in ("InitiationTimestamp", "ConnectedToSystemTimestamp", "DisconnectTimestamp", "LastUpdateTimestamp"):
        later[name] = later[name].replace("03-02", "03-05")
    later["Agent"] = {
        name: value.replace("03-02", "03-05") if isinstance(value, str) else value
        for name, value in later["Agent"].items()
    }
    later["Queue"] = None
    sent = await ingest.client_as("robot", "t1").post("/sources/connect/records", json=[contact(), later])
    assert sent.status_code in (200, 202), sent.text
    for who, seen in (("lea", ["c-1"]), ("leb", ["c-2"]), ("quinn", ["c-1", "c-2"]), ("ada", ["c-1", "c-2"])):
        for name in ("c-1", "c-2"):
            found = (await ingest.client_as(who, "t1").get("/interactions", params={"external_id": name})).json()[
                "items"
            ]
            assert bool(found) == (name in seen), (who, name)
            if found:
                status = (await ingest.client_as(who, "t1").get(f"/interactions/{found[0]['id']}")).status_code
                assert status == 200
