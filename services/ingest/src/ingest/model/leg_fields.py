"""The fields that a contact record and its leg share, each declared once.

`contracts.legs.LegRecorded` says the same to other services; tests/test_leg_fields.py compares the two. Durations are
milliseconds, instants milliseconds since 1970 UTC, scores hundredths of the vendor's scale; unknown is None, never 0.
"""

from operator import attrgetter

import msgspec
from msgspec import Struct


class SpeechFields(Struct, omit_defaults=True):
    """What speech analysis finds in a conversation. `gaps` are silent stretches [begin, end) from its start."""

    conversation_ms: int | None = None
    silence_vendor_ms: int | None = None
    overtalk_ms: int | None = None
    gaps: list[tuple[int, int]] | None = None
    interruptions: int | None = None
    sentiment: int | None = None


class OptionalLegFields(SpeechFields, omit_defaults=True):
    """Optional fields of a contact record that its leg has too. They are positional, so that one call copies them to a leg:
    3 µs less a leg."""

    ended: int | None = None
    direction: str | None = None
    queue: str | None = None
    reason: str | None = None
    attributes: dict[str, str] = {}
    ring_ms: int | None = None
    queue_ms: int | None = None
    talk_ms: int | None = None
    hold_ms: int | None = None
    acw_ms: int | None = None
    handle_ms: int | None = None
    transfers: int | None = None
    answered: bool | None = None
    abandoned: bool | None = None
    transferred: bool | None = None
    csat: int | None = None
    nps: int | None = None
    qa_score: int | None = None
    customer_key: str | None = None


class LegFields(OptionalLegFields, omit_defaults=True, kw_only=True):
    """Fields of a contact record that its leg has too."""

    started: int
    channel: str


SPEECH_FIELDS = SpeechFields.__struct_fields__
LEG_FIELDS = LegFields.__struct_fields__
get_optional_leg_fields = attrgetter(*OptionalLegFields.__struct_fields__)
"""The values of these fields, in the order of the struct's positional arguments."""

_TYPES = {field.name: field.type for field in msgspec.structs.fields(LegFields)}
_IN_ORDER = (*(name for name in LEG_FIELDS if name not in SPEECH_FIELDS), *SPEECH_FIELDS)
SCORES = {"csat": (0, 10), "nps": (0, 10), "qa_score": (0, 100), "sentiment": (-5, 5)}
"""The lowest and the highest score of each scale, in whole units of the scale."""
DURATIONS = tuple(name for name in _IN_ORDER if name.endswith("_ms"))
FLAGS = tuple(name for name in _IN_ORDER if _TYPES[name] == bool | None)
COUNTS = tuple(
    sorted(name for name in LEG_FIELDS if _TYPES[name] == int | None and name not in (*DURATIONS, *SCORES, "ended"))
)
