"""A form stored by an older version that no longer validates stops neither the consumer nor other forms."""

from contracts.blueprints import BlueprintPublished, SectionApplied
from forms.model import FormDefinition


async def test_a_stored_form_that_no_longer_validates_is_skipped_and_can_be_saved_again(
    published, call_review, caplog, monkeypatch
):
    read = FormDefinition.model_validate_json

    def stricter(content):
        if b"of old" in (content if isinstance(content, bytes) else content.encode()):
            raise ValueError("a question of old")
        return read(content)

    of_old = call_review | {"form": "of-old", "title": {"en": "of old"}}
    quinn = published.client_as("quinn", "t1")
    assert (await quinn.put("/forms/of-old", json=of_old)).status_code == 200
    assert (await quinn.post("/forms/of-old/publish")).status_code == 200
    await published.clear_outbox()
    monkeypatch.setattr(FormDefinition, "model_validate_json", stricter)
    other = call_review | {"form": "other"}
    await published.deliver(BlueprintPublished(version=1, sections={"forms": {"forms": [other]}}), tenant="t1")
    applied = (await published.read_events(SectionApplied))[-1]
    assert [each["form"] for each in applied.content["forms"]] == ["call-review", "other"]
    assert "a published form cannot be read any more" in caplog.text
    answer = await quinn.get("/forms/of-old")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:uplift:problem:stored-unreadable")
    anew = of_old | {"title": {"en": "anew"}}
    assert (await quinn.put("/forms/of-old", json=anew)).status_code == 200
    assert (await quinn.post("/forms/of-old/publish")).status_code == 200
    assert (await quinn.get("/forms/of-old")).status_code == 200
