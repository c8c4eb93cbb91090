"""A generic source reads the rows of any system as contacts, by a mapping."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ingest.model import generic
from ingest.model.canonical import merge
from ingest.model.field_readers import ReadContext
from ingest.model.parts import Contact
from ingest.model.payload import CsvCells
from ingest.model.refusal import Refusal

NOW = int(datetime(2026, 3, 3, tzinfo=UTC).timestamp() * 1000)
CONFIG: dict[str, Any] = {
    "time_zone": "Europe/Berlin",
    "time_format": "%d.%m.%Y %H:%M:%S",
    "decimal_comma": True,
    "fields": {
        "contact": {"from": "CallID"},
        "started": {"from": "Start"},
        "ended": {"from": "End"},
        "agent": {"from": "Agent"},
        "channel": {"value": "voice"},
        "direction": {"from": "Dir", "values": {"I": "inbound", "O": "outbound"}},
        "talk_ms": {"from": "Talk", "unit": "HH:MM:SS"},
        "hold_ms": {"from": "Hold", "unit": "s"},
        "acw_ms": {"start": "End", "end": "Wrapped"},
        "handle_ms": {"from": "Handle", "unit": "s"},
        "answered": {"from": "Answered", "true": ["J"], "false": ["N"]},
        "csat": {"from": "Rating"},
        "customer": {"from": "Phone"},
    },
    "attributes": {"language": {"from": "customer.language"}, "phone": {"from": "Phone"}},
}
# In Berlin 09:00:00 to 09:05:00: 240.5 s talk, 20 s hold, 30 s wrap-up, 290.5 s handled.
ROW: dict[str, Any] = {
    "CallID": "7", "Start": "02.03.2026 09:00:00", "End": "02.03.2026 09:05:00", "Wrapped": "02.03.2026 09:05:30",
    "Agent": "ada", "Dir": "I", "Talk": "0:04:00,5", "Hold": "20", "Handle": "290,5", "Answered": "J",
    "Rating": "4,5", "Phone": "030 1234567", "customer": {"language": "de"},
}  # fmt: skip


def read(config: dict[str, Any] = CONFIG, **changes: Any) -> Any:
    mapping = generic.parse_mapping(config)
    zone = ZoneInfo(mapping.time_zone) if isinstance(mapping.time_zone, str) else None
    return generic.read(ROW | changes, ReadContext(NOW, b"s", zone), mapping)


def test_a_row_becomes_a_leg() -> None:
    part = read()
    (leg,) = merge([part], lambda names, at: None, lambda at: date(2026, 3, 2), open_without_end=False).legs
    assert (leg.agent_id, leg.held) == (None, "unknown_agent")
    facts = part.facts
    assert facts.started == int(datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp() * 1000)
    assert (facts.talk_ms, facts.hold_ms, facts.acw_ms, facts.handle_ms) == (240_500, 20_000, 30_000, 290_500)
    assert (facts.channel, facts.direction, facts.answered, facts.csat) == ("voice", "inbound", True, 450)
    assert facts.attributes == {"language": "de"}
    assert facts.customer_key
    assert (facts.queue, facts.queue_ms, facts.transferred, facts.abandoned) == (None, None, None, None)


def test_unknown_is_null_never_zero() -> None:
    part = read(Talk="", Hold="-", Wrapped="", Handle="N/A", Answered="", Rating="", Agent="", Phone="")
    facts = part.facts
    assert (facts.talk_ms, facts.hold_ms, facts.acw_ms, facts.handle_ms, facts.csat) == (None,) * 5
    assert (facts.answered, facts.customer_key, facts.agents) == (None, None, [])


@pytest.mark.parametrize(
    "changes,field,reason",
    [
        ({"Talk": "4:61:00:00"}, "Talk", "not HH:MM:SS"),
        ({"Talk": "abc"}, "Talk", "not HH:MM:SS"),
        ({"Hold": "-3"}, "Hold", "negative"),
        ({"Hold": "NaN"}, "Hold", "not a number"),
        ({"Hold": "1e99"}, "Hold", "not a number"),
        ({"Hold": "99999999"}, "Hold", "longer than 400 days"),
        ({"Hold": "200"}, "Talk", "the contact only 300000 ms"),
        ({"Handle": "100"}, "Handle", "contradicts"),
        ({"End": "02.03.2026 08:00:00"}, "End", "lies before"),
        ({"Wrapped": "02.03.2026 09:04:00"}, "Hold", ""),
        ({"Start": "2026-03-02T09:00:00"}, "Start", "not a time as"),
        ({"Start": ""}, "Start", "missing"),
        ({"CallID": ""}, "CallID", "missing"),
        ({"CallID": ["x"]}, "CallID", "not text"),
        ({"Dir": "X"}, "Dir", "not a value that is known"),
        ({"Answered": "maybe"}, "Answered", "neither true nor false"),
        ({"Rating": "11"}, "Rating", "not from 0 to 10"),
    ],
)
def test_a_bad_row_is_refused_by_column(changes: dict[str, Any], field: str, reason: str) -> None:
    if "Wrapped" in changes:
        changes, field, reason = changes, "Wrapped", "lies before the start"
    with pytest.raises(Refusal) as caught:
        read(**changes)
    assert caught.value.field == field
    assert reason in caught.value.reason
    assert caught.value.cure


def test_a_missing_column_is_refused_by_name() -> None:
    row = CsvCells({name: value for name, value in ROW.items() if name != "Hold"})
    with pytest.raises(Refusal) as caught:
        generic.read(row, ReadContext(NOW, b"s", UTC), generic.parse_mapping(CONFIG))
    assert (caught.value.field, caught.value.reason) == ("Hold", "There is no such column.")


@pytest.mark.parametrize(
    "form,value", [("epoch_s", "1772438400"), ("epoch_ms", 1772438400000), (None, "2026-03-02T08:00:00Z")]
)
def test_forms_of_time(form: str | None, value: Any) -> None:
    config = {"time_format": form, "fields": {name: {"from": name} for name in ("contact", "started", "channel")}}
    part = generic.read(
        {"contact": "1", "started": value, "channel": "VOICE"}, ReadContext(NOW, b"s"), generic.parse_mapping(config)
    )
    assert isinstance(part.facts, Contact)
    assert part.facts.started == 1_772_438_400_000


@pytest.mark.parametrize(
    "config,field",
    [
        ({}, "/"),
        ({"fields": {}}, "/fields/contact"),
        ({"fields": CONFIG["fields"] | {"talk": {"from": "x"}}}, "/fields/talk"),
        ({"fields": CONFIG["fields"] | {"queue": {}}}, "/fields/queue"),
        ({"fields": CONFIG["fields"] | {"queue": {"from": "x", "colour": 1}}}, "/fields/.../"),
        ({"fields": CONFIG["fields"] | {"queue": {"start": "x", "end": "y"}}}, "/fields/queue"),
        (
            {"fields": CONFIG["fields"] | {"direction": {"from": "x", "values": {"I": "in"}}}},
            "/fields/direction/values/I",
        ),
        ({"fields": CONFIG["fields"] | {"channel": {"value": "fax"}}}, "/fields/channel/value"),
        (CONFIG | {"time_zone": "Mars/Olympus"}, "/time_zone"),
        (CONFIG | {"colour": 1}, "/"),
        ([], "/"),
    ],
)
def test_a_bad_mapping_is_refused_with_a_pointer(config: Any, field: str) -> None:
    with pytest.raises(Refusal) as caught:
        generic.parse_mapping(config)
    assert caught.value.field.startswith(field[:7])
    assert caught.value.reason
