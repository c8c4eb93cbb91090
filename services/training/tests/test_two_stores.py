"""A process that dies between a document and its row, with the documents in MongoDB."""

from datetime import UTC, datetime, timedelta

import pytest
from testkit.kill_before_commit import kill_before_commit


@pytest.mark.parametrize("mongodb_url", ["mongodb"], indirect=True)
async def test_what_a_killed_process_left_behind_is_swept_and_the_rest_stays(training):
    await training.people("acme", simulated=False)
    documents = training.h.context.documents
    tom = training.h.client_as("tom", "acme")
    await tom.put("/templates/old", json=training.READING)
    await tom.post("/templates/old/publish")
    await kill_before_commit(training.h, "tom", "acme", "PUT", "/templates/new", json=training.READING)
    (orphan,) = (each for each in await documents.find("acme", "templates", {}) if each.id.startswith("new/"))
    assert (await tom.get("/templates/new")).status_code == 404

    assert (await tom.put("/templates/new", json=training.READING)).status_code == 200
    await training.h.tick(datetime.now(UTC) + timedelta(days=2))
    assert len(await documents.find("acme", "templates", {})) == 3, "the orphan is too young"
    training.h.sweep_young_documents()
    await training.h.tick(datetime.now(UTC) + timedelta(days=4))
    left = {each.id for each in await documents.find("acme", "templates", {})}
    assert len(left) == 2
    assert orphan.id not in left
    assert (await tom.get("/templates/new")).json()["content"]["title"] == training.READING["title"]
    assert (await tom.get("/templates/old/versions/1")).status_code == 200
