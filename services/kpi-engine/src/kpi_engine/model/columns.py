"""The columns of each source of facts that a KPI model may use, with kind and unit."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "flag", "text", "date", "null", "unknown"]


@dataclass(frozen=True)
class Column:
    """A column. `unit` of a number: ms, score (hundredths of the vendor's scale), or "" for a plain count."""

    name: str
    kind: Kind
    unit: str = ""
    multi_valued: bool = False


def _columns(*, text: str = "", date: str = "", flag: str = "", **units: str) -> dict[str, Column]:
    columns = [Column(name, "text") for name in text.split()]
    columns += [Column(name, "date") for name in date.split()]
    columns += [Column(name, "flag") for name in flag.split()]
    for unit, names in units.items():
        columns += [Column(name, "number", "" if unit == "count" else unit) for name in names.split()]
    return {column.name: column for column in columns}


SOURCE_COLUMNS: dict[str, dict[str, Column]] = {
    "legs": _columns(
        text="source vendor external_id channel direction queue reason customer_key relation",
        date="workday",
        flag="first_leg last_leg answered abandoned transferred",
        ms="ring_ms queue_ms talk_ms hold_ms acw_ms handle_ms conversation_ms silence_vendor_ms overtalk_ms",
        count="leg interruptions transfers",
        score="csat nps qa_score sentiment",
    ),
    "agent_states": _columns(text="source state", date="workday", ms="duration_ms"),
    "submissions": _columns(text="form", date="workday", flag="automatic_fail", count="form_version", score="qa_score"),
}

# Sources whose facts carry a map of texts, and those that carry a list of silent stretches.
WITH_ATTRIBUTES = frozenset({"legs", "submissions"})
WITH_GAPS = frozenset({"legs"})

# The attributes of a person that a target may use. `multi_valued`: a person has several, and `=` means "has it".
PERSON_COLUMNS: dict[str, Column] = {
    column.name: column
    for column in (
        Column("tenure_days", "number"),
        Column("skill", "text", multi_valued=True),
        Column("org_unit", "text", multi_valued=True),
        Column("role", "text", multi_valued=True),
        Column("employment", "text"),
    )
}
