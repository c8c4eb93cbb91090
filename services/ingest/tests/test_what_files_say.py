"""How files of other systems write times, durations, numbers and what is unknown: each is read rightly or refused in the
words of the file."""

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from ingest.model import generic
from ingest.model.canonical import Held, merge
from ingest.model.field_readers import ReadContext
from ingest.model.generic.amounts import parse_milliseconds, parse_number
from ingest.model.generic.paths import explode_record
from ingest.model.payload import CsvCells
from ingest.model.refusal import Refusal
from servicekit.workdays import compute_workday

NOW = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1000)
BASE: dict[str, Any] = {
    "contact": {"from": "id"},
    "agent": {"from": "agent"},
    "channel": {"value": "voice"},
    "started": {"from": "start"},
}
ROW: dict[str, Any] = {"id": "1", "agent": "ada", "start": "2026-03-02T09:00:00Z"}


def day_of(at: int) -> date:
    return compute_workday(at, UTC)


def read(fields: dict[str, Any], row: dict[str, Any], **mapping: Any) -> Any:
    made = generic.parse_mapping({"fields": BASE | fields, **mapping})
    zone = ZoneInfo(made.zone) if made.zone else None
    return generic.read(row, ReadContext(NOW, b"s", zone), made).facts


def refused(fields: dict[str, Any], row: dict[str, Any], **mapping: Any) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(fields, row, **mapping)
    assert caught.value.cure
    return caught.value


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    "text,expected",
    [
        ("00:00:05", 5_000),
        ("0:04:00,5", 240_500),
        ("00:03:05.250", 185_250),
        ("03:05", 185_000),
        ("75:00", 4_500_000),
        ("26:03:04", 93_784_000),
        ("1.02:03:04", 93_784_000),
        ("1 02:03:04", 93_784_000),
        ("1 day, 2:03:04", 93_784_000),
        ("2d 00:00:01.5", 172_801_500),
    ],
)
def test_a_duration_by_the_clock(text: str, expected: int) -> None:
    assert parse_milliseconds(text, "talk", "HH:MM:SS") == expected


@pytest.mark.parametrize(
    "text,reason",
    [
        ("-00:00:05", "negative"),
        ("-0:00", "negative"),
        ("\u221200:00:05", "negative"),
        ("-1.02:03:04", "negative"),
        ("01:75:00", "out of range"),
        ("01:00:60", "out of range"),
        ("5:99", "out of range"),
        ("1.24:00:00", "out of range"),
        ("1.5:00", "days and no seconds"),
        ("1.5:00:00.5.5", "not HH:MM:SS"),
        ("1:02:03:04", "not HH:MM:SS"),
        ("00:00:05-", "not HH:MM:SS"),
        ("(00:00:05)", "not HH:MM:SS"),
        ("500.00:00:00", "longer than 400 days"),
        ("PT5S", "not HH:MM:SS"),
    ],
)
def test_a_duration_that_is_none_is_refused_in_the_words_of_the_file(text: str, reason: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_milliseconds(text, "talk", "HH:MM:SS")
    assert reason in caught.value.reason
    assert f"`{text}`" in caught.value.reason
    assert (caught.value.field, bool(caught.value.cure)) == ("talk", True)


@pytest.mark.parametrize(
    "text,comma,expected",
    [
        ("1.234", True, "1234"),
        ("1.234,5", True, "1234.5"),
        ("12.345.678", True, "12345678"),
        ("12,5", True, "12.5"),
        ("1 234,5", True, "1234.5"),
        ("1\u00a0234,5", True, "1234.5"),
        ("1\u202f234", True, "1234"),
        ("1'234,5", True, "1234.5"),
        ("0,5", True, "0.5"),
        ("1.234", False, "1.234"),
        ("1,234.5", False, "1234.5"),
        ("1,234,567", False, "1234567"),
        ("1\u2019234.5", False, "1234.5"),
        ("1 234", False, "1234"),
        ("1e3", False, "1000"),
        (".5", False, "0.5"),
        (1.234, True, "1.234"),  # a number of JSON is what it is
    ],
)
def test_a_number_with_its_marks(text: Any, comma: bool, expected: str) -> None:
    assert f"{parse_number(text, 'talk', decimal_comma=comma):f}" == expected


@pytest.mark.parametrize(
    "text,comma",
    [
        ("1.23", True),
        ("0.500", True),
        ("1.2345", True),
        ("1.234.5", True),
        ("1,234", False),
        ("12,5", False),
        ("1,23,456", False),
        ("1'23", False),
        ("1 234'567", False),
        ("twelve", False),
        ("\u0661", False),
        ("NaN", False),
        ("1_000", False),
        (True, False),
    ],
)
def test_a_number_that_may_be_two_is_refused(text: Any, comma: bool) -> None:
    with pytest.raises(Refusal) as caught:
        parse_number(text, "talk", decimal_comma=comma)
    assert str(text) in caught.value.reason
    assert caught.value.cure


def test_absent_empty_and_null_are_the_same_unknown() -> None:
    fields = {"talk_ms": {"from": "talk"}, "ended": {"from": "end"}, "queue": {"from": "q.name"}}
    unknown = read(fields, ROW | {"talk": None, "end": None, "q": None})
    assert read(fields, ROW) == unknown
    assert read(fields, ROW | {"talk": "", "end": " ", "q": {}}) == unknown
    assert read(fields, ROW | {"talk": "", "end": "x"}, nulls=["x"]) == unknown
    assert (unknown.talk_ms, unknown.ended, unknown.queue, unknown.answered) == (None, None, None, None)
    assert refused(fields, CsvCells(ROW | {"talk": "1", "end": ""})).reason == "There is no such column."


def test_zero_may_mean_unknown_in_one_column() -> None:
    fields = {"ring_ms": {"start": "start", "end": "connect", "nulls": ["0"]}, "talk_ms": {"from": "talk", "unit": "s"}}
    rang = {"id": "2", "agent": "ada", "start": "1772442000", "connect": "0", "talk": "0"}
    facts = read(fields, rang, time_format="epoch_s")
    assert (facts.ring_ms, facts.talk_ms, facts.answered) == (None, 0, False)
    facts = read(fields, rang | {"connect": 1772442005, "talk": 60}, time_format="epoch_s")
    assert (facts.ring_ms, facts.talk_ms, facts.answered) == (5_000, 60_000, True)


@pytest.mark.parametrize(
    "row,answered",
    [
        ({"talk": "0"}, False),
        ({"talk": ""}, None),
        ({"talk": "9"}, True),
        ({"talk": "0", "hold": "4"}, True),
        ({"talk": "9", "agent": ""}, None),
    ],
)
def test_a_ring_without_answer_is_not_answered(row: dict[str, str], answered: bool | None) -> None:
    fields = {"talk_ms": {"from": "talk", "unit": "s"}, "hold_ms": {"from": "hold", "unit": "s"}}
    assert read(fields, ROW | row).answered is answered
    assert read({}, ROW).answered is True


def test_talk_that_holds_the_hold_time() -> None:
    fields = {
        "talk_ms": {"from": "billsec", "unit": "s", "less": ["hold_ms"]},
        "hold_ms": {"from": "hold", "unit": "s"},
        "ended": {"from": "end"},
    }
    row = ROW | {"billsec": "600", "hold": "120", "end": "2026-03-02T09:10:10Z"}
    facts = read(fields, row)
    assert (facts.talk_ms, facts.hold_ms, facts.answered) == (480_000, 120_000, True)
    assert read(fields, row | {"hold": ""}).talk_ms is None
    assert refused(fields, row | {"hold": "700"}).field == "billsec"
    plain = fields | {"talk_ms": {"from": "billsec", "unit": "s"}}
    assert "less: [hold_ms]" in refused(plain, row).cure


def test_date_and_time_in_two_columns_and_the_zone_in_a_third() -> None:
    fields = {"started": {"from": ["day", "clock"]}}
    row = {"id": "1", "agent": "ada", "day": "2024-05-22", "clock": "09:12:58", "tz": "America/New_York"}
    zone = {"from": "tz", "values": {"Vienna": "Europe/Vienna"}}
    for name, hour in [("America/New_York", 13), ("Asia/Kolkata", 3), ("Vienna", 7), ("+02:00", 7), ("UTC+2", 7)]:
        minute = 42 if name == "Asia/Kolkata" else 12
        facts = read(fields, row | {"tz": name}, time_zone=zone)
        assert facts.started == ms(f"2024-05-22T{hour:02}:{minute}:58Z")
    assert refused(fields, row | {"tz": "Mars"}, time_zone=zone).field == "tz"
    assert "no time zone" in refused(fields, row | {"tz": ""}, time_zone=zone).reason
    assert refused(fields, row | {"clock": ""}, time_zone=zone).field == "day + clock"


AUTUMN = {"ended": {"from": "end"}, "talk_ms": {"from": "talk", "unit": "s"}, "hold_ms": {"value": 0}}


@pytest.mark.parametrize(
    "start,end,talk,started,seconds",
    [
        ("02:50", "02:10", "", "00:50", 1_200),  # by their order: summer time, then winter time
        ("01:50", "03:10", "", "2023-10-28T23:50", 8_400),  # neither is in the hour
        ("02:10", "02:50", "6000", "00:10", 6_000),  # by the duration: only over the change is there room for it
        ("02:10", "03:10", "3600", "01:10", 3_600),  # by the duration: it fills the time from the second 02:10
        ("02:10", "03:10", "7200", "00:10", 7_200),
    ],
)
def test_in_the_ambiguous_hour_order_and_durations_decide(
    start: str, end: str, talk: str, started: str, seconds: int
) -> None:
    row = ROW | {"start": f"2023-10-29T{start}:00", "end": f"2023-10-29T{end}:00", "talk": talk}
    facts = read(AUTUMN, row, time_zone="Europe/Berlin")
    begin = started if "T" in started else f"2023-10-29T{started}"
    assert (facts.started, facts.unsure) == (ms(f"{begin}:00Z"), None)
    assert facts.ended - facts.started == seconds * 1000


@pytest.mark.parametrize("end,talk", [("", ""), ("02:50", ""), ("02:50", "2400"), ("03:10", "60")])
def test_a_time_that_may_be_either_of_two_is_held(end: str, talk: str) -> None:
    end = end and f"2023-10-29T{end}:00"
    made = generic.parse_mapping({"fields": BASE | AUTUMN, "time_zone": "Europe/Berlin"})
    reading = ReadContext(NOW, b"s", ZoneInfo("Europe/Berlin"))
    row = ROW | {"start": "2023-10-29T02:10:00", "end": end, "talk": talk}
    found = merge([generic.read(row, reading, made)], lambda names, at: None, day_of, open_without_end=False)
    assert (found.legs, found.held) == ([], [Held("1", "ambiguous_time", ["start"])])
    sure = generic.read(row | {"start": "2023-10-29T02:10:00+02:00", "end": ""}, reading, made)
    assert len(merge([sure], lambda names, at: None, day_of, open_without_end=False).legs) == 1


def test_a_measured_stretch_over_the_change_has_its_instants_from_the_same_choice() -> None:
    fields = {"ended": {"from": "end"}, "talk_ms": {"start": "start", "end": "end"}}
    row = ROW | {"start": "2023-10-29T02:50:00", "end": "2023-10-29T02:10:00"}
    facts = read(fields, row, time_zone="Europe/Berlin")
    assert (facts.talk_ms, facts.ended - facts.started) == (1_200_000, 1_200_000)


def test_an_hour_that_does_not_exist_is_refused() -> None:
    refusal = refused({}, ROW | {"start": "2024-03-31T02:30:00"}, time_zone="Europe/Berlin")
    assert "does not exist in Europe/Berlin" in refusal.reason
    assert read({}, ROW | {"start": "2024-03-31T03:30:00"}, time_zone="Europe/Berlin").started == ms(
        "2024-03-31T01:30Z"
    )


def test_silent_stretches_and_shares() -> None:
    fields = {
        "conversation_ms": {"from": "conv"},
        "gaps": {"from": "gaps", "unit": "s"},
        "silence_vendor_ms": {"from": "silence", "unit": "percent"},
    }
    facts = read(fields, ROW | {"conv": 100_000, "gaps": [[10, 17], [1, 4]], "silence": 12.5})
    assert (facts.gaps, facts.silence_vendor_ms) == ([(1_000, 4_000), (10_000, 17_000)], 12_500)
    assert read(fields, CsvCells(ROW | {"conv": "", "gaps": "[[1,4]]", "silence": "5"})).gaps == [(1_000, 4_000)]
    for bad in ([[4, 1]], [[1]], "x", {"a": 1}, [[1, 400]]):
        assert refused(fields, ROW | {"conv": 100_000, "gaps": bad}).field == "gaps"
    assert refused(fields, ROW | {"conv": 1, "silence": 101}).field == "silence"


def test_figures_by_name_in_a_list_and_several_agents_in_one_record() -> None:
    record = {
        "conv": "K",
        "start": "2026-03-02T09:00:00Z",
        "parts": [
            {"role": "customer"},
            {
                "role": "agent",
                "user": "ada",
                "metrics": [{"name": "tAlert", "value": 3}, {"name": "tTalk", "value": 60}],
            },
            {"role": "agent", "user": "ben", "metrics": [{"name": "tTalk", "value": 90}]},
        ],
    }
    config = {
        "contact": {"from": ["conv", "parts[role=agent].user"]},
        "initial": {"from": "conv"},
        "agent": {"from": "parts[role=agent].user"},
        "talk_ms": {"from": "parts[role=agent].metrics[name=tTalk].value", "unit": "s"},
        "ring_ms": {"from": "parts[role=agent].metrics[name=tAlert].value", "unit": "s"},
    }
    one, two = explode_record(record, "parts[role=agent]")
    assert explode_record(one, "parts[role=agent]") == [one]
    assert [(f.agents, f.talk_ms, f.ring_ms) for f in (read(config, one), read(config, two))] == [
        (["ada"], 60_000, 3_000),
        (["ben"], 90_000, None),
    ]
    assert len(record["parts"]) == 3
    assert explode_record({"conv": "K"}, "parts[role=agent]") == [{"conv": "K"}]
    with pytest.raises(Refusal):
        explode_record({"parts": [{"role": "agent"}] * 101}, "parts[role=agent]")


def test_composed_ids_make_rows_the_legs_of_one_call() -> None:
    fields = {"contact": {"from": ["id", "seg"]}, "initial": {"from": "id"}}
    made = generic.parse_mapping({"fields": BASE | fields})
    rows = [
        {"id": "C1", "seg": "2", "agent": "ben", "start": "2026-03-02T09:02:00Z"},
        {"id": "C1", "seg": "1", "agent": "ada", "start": "2026-03-02T09:00:00Z"},
    ]
    parts = [generic.read(row, ReadContext(NOW, b"s"), made) for row in rows]
    assert {part.initial for part in parts} == {"C1"}
    legs = merge(parts, lambda names, at: None, day_of, open_without_end=False).legs
    assert [(leg.external_id, leg.agent_external_id, leg.first_leg) for leg in legs] == [
        ("C1 1", "ada", True),
        ("C1 2", "ben", False),
    ]


def test_a_column_or_a_path_skips_records_that_are_no_calls() -> None:
    skip = [{"from": "id", "is": ["Total", ""]}, {"from": "meta.kind", "is": ["ping"]}]
    layout = generic.build_layout(generic.parse_mapping({"fields": BASE, "skip": skip}))
    assert layout.skip
    records = [
        {"id": " Total "},
        {"id": None},
        {},
        {"id": "1", "meta": {"kind": "ping"}},
        {"id": "1"},
        {"id": 7, "meta": {}},
    ]
    assert [layout.skip(record) for record in records] == [True, True, True, True, False, False]
    assert generic.build_layout(generic.parse_mapping({"fields": BASE})).skip is None


@pytest.mark.parametrize(
    "fields,field",
    [
        ({"talk_ms": {"from": ["a", "b"]}}, "/fields/talk_ms/from"),
        ({"talk_ms": {"from": "a", "less": ["hold_ms"]}}, "/fields/talk_ms/less"),
        ({"talk_ms": {"from": "a", "less": ["talk_ms"]}}, "/fields/talk_ms/less"),
        ({"talk_ms": {"from": "a", "unit": "percent"}}, "/fields/talk_ms/unit"),
        ({"queue": {"from": []}}, "/fields/queue"),
        (
            {"talk_ms": {"from": "a", "less": ["hold_ms"]}, "hold_ms": {"from": "b", "less": ["talk_ms"]}},
            "/fields/talk_ms/less",
        ),
    ],
)
def test_new_words_of_a_mapping_are_checked(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(Refusal) as caught:
        generic.parse_mapping({"fields": BASE | fields})
    assert (caught.value.field, bool(caught.value.cure)) == (field, True)


def test_the_list_of_attributes_to_keep_is_the_whole_list() -> None:
    row = ROW | {"language": "de", "phone": "030 1234567"}
    attributes = {"language": {"from": "language"}, "phone": {"from": "phone"}}
    assert read({}, row, attributes=attributes).attributes == {"language": "de"}
    assert read({}, row, attributes=attributes, keep_attributes=["phone"]).attributes == {"phone": "030 1234567"}
