"""What a version before stored, and this one cannot read: it stops neither the reader nor what else is stored."""

from contracts.blueprints import SectionApplied


async def spoil(training, table, where):
    async with training.h.context.sessions.begin(["acme"], now=training.now) as session:
        await session.execute(f"""UPDATE {table} SET body = '{{"of": "old"}}' WHERE tenant = 'acme' AND {where}""")


async def test_a_rule_that_cannot_be_read_is_passed_over_with_an_error(training, caplog):
    await training.blueprint(training.rule("broken"), training.rule("well"))
    await spoil(training, "rule", "slug = 'broken'")
    await training.enter("ada")
    assert (await training.only())["rule"] == "well"
    assert "a training rule cannot be read any more" in caplog.text
    await training.h.clear_outbox()
    await training.blueprint(training.rule("broken"), training.rule("well"))
    assert [each.version for each in await training.h.read_events(SectionApplied)] == [2]


async def test_content_that_cannot_be_read_is_saved_anew(training):
    await training.blueprint(training.rule())
    await spoil(training, "document", "true")
    tom = training.h.client_as("tom", "acme")
    answer = await tom.get("/templates/silence-basics")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:uplift:problem:stored-unreadable")
    anew = {**training.READING, "title": {"en": "Anew"}}
    assert (await tom.put("/templates/silence-basics", json=anew)).status_code == 200
    assert (await tom.post("/templates/silence-basics/publish")).status_code == 200
    assert (await tom.get("/templates/silence-basics")).json()["content"]["title"]["en"] == "Anew"
