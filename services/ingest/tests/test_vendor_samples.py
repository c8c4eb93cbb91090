"""Payloads of vendors: the legs have the figures of the vendor's summary, or the verdict has the reason."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from ingest.model import amazon_connect
from ingest.model.amazon_connect import Options
from ingest.model.field_readers import ReadContext
from ingest.model.parts import Analysis, ContactEvent, Part, StateNotice
from ingest.model.payload import Payload
from ingest.model.refusal import Refusal

SAMPLES = Path(__file__).parents[4] / "shared" / "samples"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="The vendors' samples do not lie beside this checkout.")
READING = ReadContext(int(datetime(2026, 3, 3, tzinfo=UTC).timestamp() * 1000), b"secret")


def records(name: str) -> list[dict[str, object]]:
    payload = Payload()
    found = [*payload.feed((SAMPLES / name).read_bytes()), *payload.close()]
    return [record.value for record in found if record.value is not None]


@pytest.mark.parametrize(
    "name,field",
    [
        ("amazon_connect__contact_lens_post_call.json", "CustomerMetadata.ContactId"),
        ("amazon_connect__contact_lens_post_call_redacted.json", "CustomerMetadata.ContactId"),
        ("amazon_connect__evaluation_export.json", "evaluationId"),
        ("amazon_transcribe__call_analytics.json", "JobName"),
        ("genesys__conversation_detail.json", "conversationId"),
        ("twilio__taskrouter_events.json", "account_sid"),
        ("twilio__taskrouter_reservations.json", "account_sid"),
    ],
)
def test_a_record_without_ids_or_of_another_vendor_is_refused(name: str, field: str) -> None:
    (record,) = records(name)
    with pytest.raises(Refusal) as caught:
        amazon_connect.read(record, READING, Options())
    assert caught.value.field == field
    assert caught.value.cure


def test_contact_lens_with_its_contact_gives_its_own_figures() -> None:
    (record,) = records("amazon_connect__contact_lens_post_call.json")
    part = amazon_connect.read(record | {"CustomerMetadata": {"ContactId": "c"}}, READING, Options())
    assert isinstance(part, Part)
    assert part.facts == Analysis(
        conversation_ms=32_110, silence_vendor_ms=0, gaps=[], overtalk_ms=0, interruptions=0, sentiment=310
    )


def test_contact_events_open_and_close_an_interaction() -> None:
    parts = [
        amazon_connect.read(records(f"amazon_connect__contact_event_{n}.json")[0], READING, Options()) for n in (1, 2)
    ]
    assert [part.kind for part in parts if isinstance(part, Part)] == ["event/CONNECTED_TO_AGENT", "event/DISCONNECTED"]
    second = parts[1]
    assert isinstance(second, Part)
    assert isinstance(second.facts, ContactEvent)
    assert second.initial == "11111111-2222-3333-4444-555555555555"
    assert second.facts.ended == int(datetime(2021, 8, 4, 17, 18, 37, tzinfo=UTC).timestamp() * 1000)


def test_agent_event_gives_the_state_since_its_start() -> None:
    (record,) = records("amazon_connect__agent_event.json")
    notice = amazon_connect.read(record, READING, Options())
    assert isinstance(notice, StateNotice)
    assert notice.agents[0] == "aestest"
    assert notice.points == [(1_565_729_550_704, "Available")]
