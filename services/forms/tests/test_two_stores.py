"""A process that dies after writing a document and before its row, with the documents in MongoDB."""

from datetime import UTC, datetime, timedelta

import pytest
from forms.service import service
from testkit import person, person_id
from testkit.kill_before_commit import kill_before_commit
from testkit.programs import free_port

SUBMISSIONS = "/forms/call-review/submissions"
ANSWERS = {"greeting": "yes", "complaint": False, "solution": 5, "empathy": "yes"}


@pytest.mark.parametrize("mongodb_url", ["mongodb"], indirect=True)
async def test_orphaned_documents_of_a_killed_process_are_swept(published, call_review):
    documents = published.context.documents
    changed = call_review | {"title": {"en": "Changed"}}
    filled = {"agent_id": str(person_id("ada")), "answers": ANSWERS}
    await kill_before_commit(published, "quinn", "t1", "PUT", "/forms/call-review", json=changed)
    await kill_before_commit(published, "lea", "t1", "POST", SUBMISSIONS, json=filled)
    assert len(await documents.find("t1", "form-definition", {})) == 2
    (orphan,) = await documents.find("t1", "form-submission", {})
    assert await published.rows("t1", "SELECT 1 FROM submission") == []
    quinn, lea = published.client_as("quinn", "t1"), published.client_as("lea", "t1")
    assert (await quinn.get("/forms/call-review")).json()["definition"]["title"]["en"] == "Call review"

    assert (await quinn.put("/forms/call-review", json=changed)).status_code == 200
    made = (await lea.post(SUBMISSIONS, json=filled)).json()
    published.sweep_young_documents()
    await published.tick(datetime.now(UTC) + timedelta(days=2))
    assert len(await documents.find("t1", "form-definition", {})) == 2, "version 1 and the draft"
    (stored,) = await documents.find("t1", "form-submission", {})
    assert stored.id != orphan.id
    assert (await lea.get(f"{SUBMISSIONS}/{made['id']}")).json()["answers"] == ANSWERS
    assert (await quinn.get("/forms/call-review")).json()["definition"]["title"]["en"] == "Changed"
    assert (await quinn.get("/forms/call-review/versions/1")).json()["definition"]["title"]["en"] == "Call review"


async def test_without_the_document_store_writes_answer_503_with_retry_after(harness_for, call_review):
    forms = await harness_for(service, mongodb_url=f"mongodb://127.0.0.1:{free_port()}")
    await forms.apply_directory("t1", people=[person("quinn", roles=["quality_analyst"])])
    quinn = forms.client_as("quinn", "t1")
    answer = await quinn.put("/forms/call-review", json=call_review)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert (await quinn.get("/forms")).json()["items"] == []
