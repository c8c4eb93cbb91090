"""A lead sees submissions about an agent from the days on which the agent was in the lead's team."""

from datetime import UTC, datetime, timedelta

from testkit import person, person_after_move, tenant

ANSWERS = {"greeting": "yes", "complaint": False, "solution": 5, "empathy": "yes"}


async def test_submissions_are_visible_by_the_membership_on_their_workday(published) -> None:
    today = datetime.now(UTC).replace(hour=9, minute=0)

    async def submitted(day: datetime) -> str:
        await published.apply_directory("t1", of_tenant=tenant("t1", simulated=True, clock=day))
        body = {"agent": "ada", "answers": ANSWERS}
        answer = await published.client_as("quinn", "t1").post("/forms/call-review/submissions", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    move = today.date() + timedelta(days=5)
    people = [person_after_move("ada", "a", "b", move), person("leb", team="b", roles=[("team_lead", "b")])]
    await published.apply_directory("t1", people=people)
    before, after = await submitted(today), await submitted(today + timedelta(days=9))
    for who, seen in (("lea", {before}), ("leb", {after}), ("quinn", {before, after}), ("ada", {before, after})):
        client = published.client_as(who, "t1")
        listed = (await client.get("/forms/call-review/submissions", params={"agent": "ada"})).json()["items"]
        assert {each["id"] for each in listed} == seen, who
        for each in (before, after):
            status = (await client.get(f"/forms/call-review/submissions/{each}")).status_code
            assert status == (200 if each in seen else 404), who
    listed = (
        await published.client_as("quinn", "t1").get("/forms/call-review/submissions", params={"team": "b"})
    ).json()
    assert [each["id"] for each in listed["items"]] == [after]
