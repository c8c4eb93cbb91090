"""A rule stored by an older version that no longer validates stops neither the consumer nor other rules."""

from contracts.assignments import AssignmentAssigned
from testkit import person_id


async def test_a_stored_rule_that_no_longer_validates_is_skipped_with_an_error(notification, caplog):
    h = notification
    async with h.context.sessions.begin(["t1"], now=h.now) as session:
        await session.execute("""UPDATE rule SET body = '{"of": "old"}' WHERE tenant = 't1' AND rule = 'lead-notice'""")
    await h.deliver(
        AssignmentAssigned.model_validate(AssignmentAssigned.example | {"agent_id": str(person_id("ada"))}), tenant="t1"
    )
    read = {who: (await h.client_as(who, "t1").get("/inbox")).json()["items"] for who in ("ada", "lea")}
    assert {who: len(items) for who, items in read.items()} == {"ada": 1, "lea": 0}
    assert "a notification rule cannot be read any more" in caplog.text
    rules = (await h.client_as("adam", "t1").get("/rules")).json()
    assert "lead-notice" not in str(rules)
