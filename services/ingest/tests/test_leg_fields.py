"""The fields of a leg are declared once in ingest, with the types of the event's fields."""

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from contracts.legs import LegRecorded
from ingest.model import leg_fields
from ingest.model.canonical import Leg
from ingest.model.generic.mapping import NAMES
from ingest.model.parts import Analysis, Contact

IDENTITY = {"interaction_id", "leg", "version", "void", "mode", "source", "vendor"}
OTHER_FORM = {"started": "started_at", "ended": "ended_at"}


def bare(annotation: Any) -> Any:
    """The type without what only describes it: texts of a few values are texts."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return bare(arguments[0])
    if origin is Literal:
        return str
    if origin in (Union, UnionType):
        return frozenset(bare(each) for each in arguments)
    return annotation


def test_the_event_of_a_leg_has_the_fields_of_a_leg() -> None:
    event_fields = {
        name: bare(field.annotation) for name, field in LegRecorded.model_fields.items() if name not in IDENTITY
    }
    fields = {OTHER_FORM.get(each.name, each.name): bare(each.type) for each in msgspec.structs.fields(Leg)}
    assert event_fields.keys() == fields.keys()
    same = event_fields.keys() - OTHER_FORM.values()
    assert {name: event_fields[name] for name in same} == {name: fields[name] for name in same}


def test_records_and_legs_share_their_fields() -> None:
    shared = set(leg_fields.LEG_FIELDS)
    assert shared == set(Contact.__struct_fields__) & set(Leg.__struct_fields__)
    assert set(Analysis.__struct_fields__) == set(leg_fields.SPEECH_FIELDS)


def test_a_mapping_may_name_each_field_that_a_record_has() -> None:
    others = {"customer_key": "customer"}
    assert {others.get(name, name) for name in leg_fields.LEG_FIELDS} - {"attributes"} <= set(NAMES)
    assert leg_fields.DURATIONS == (
        "ring_ms", "queue_ms", "talk_ms", "hold_ms", "acw_ms", "handle_ms", "conversation_ms", "silence_vendor_ms", "overtalk_ms",
    )  # fmt: skip
    assert leg_fields.COUNTS == ("interruptions", "transfers")
    assert leg_fields.FLAGS == ("answered", "abandoned", "transferred")
