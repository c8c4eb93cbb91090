"""The tables of kpi-engine."""

from typing import Any

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Sequence,
    SmallInteger,
    Table,
    Text,
    Uuid,
    event,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from storage import add_report_view, create_metadata

tables = create_metadata()

# Every published version; rows never change.
kpi_model = Table(
    "kpi_model",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("kpi", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", Text, nullable=False),
    Column("content", JSONB, nullable=False),
    Column("published_at", DateTime(timezone=True), nullable=False),
    Column("published_by", Uuid(), nullable=True),
)

# The version in force.
kpi_head = Table(
    "kpi_head",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("kpi", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("retired", Boolean, nullable=False, server_default="false"),
)

MEASURES = (
    "ring_ms", "queue_ms", "talk_ms", "hold_ms", "acw_ms", "handle_ms", "conversation_ms", "silence_vendor_ms",
    "overtalk_ms", "duration_ms", "interruptions", "transfers", "csat", "nps", "qa_score", "sentiment",
)  # fmt: skip
TEXTS = (
    "source", "vendor", "external_id", "channel", "direction", "queue", "reason", "customer_key", "state", "form",
    "relation",
)  # fmt: skip
FLAGS = ("first_leg", "last_leg", "answered", "abandoned", "transferred", "automatic_fail")


def _fact_columns(*, version_in_key: bool) -> list[Column[Any]]:
    return [
        Column("tenant", Text, primary_key=True),
        Column("kind", Text, primary_key=True),
        Column("id", Uuid(), primary_key=True),
        Column("leg", SmallInteger, primary_key=True, server_default="0", autoincrement=False),
        Column("version", Integer, primary_key=version_in_key, nullable=False, autoincrement=False),
        Column("void", Boolean, nullable=False),
        Column("agent_id", Uuid(), nullable=True),
        Column("workday", Date, nullable=False),
        Column("started_at", DateTime(timezone=True), nullable=False),
        Column("ended_at", DateTime(timezone=True), nullable=True),
        *(Column(name, Text, nullable=True) for name in TEXTS),
        *(Column(name, Boolean, nullable=True) for name in FLAGS),
        *(Column(name, BigInteger, nullable=True) for name in MEASURES),
        Column("form_version", Integer, nullable=True),
        Column("gaps", ARRAY(BigInteger, dimensions=2), nullable=True),
        Column("attributes", JSONB, nullable=True),
        # Why it is held: a leg `unknown_agent`, a submission `unknown_call`.
        Column("held", Text, nullable=True),
        # Of a submission: the call that it evaluates, and the agent and day that it names itself.
        Column("call_id", Uuid(), nullable=True),
        Column("call_leg", SmallInteger, nullable=True),
        Column("named_agent_id", Uuid(), nullable=True),
        Column("named_workday", Date, nullable=True),
        Column("known_at", DateTime(timezone=True), nullable=False, server_default="epoch"),
    ]


# The newest version of every fact of every source; `kind` is the source as models name it.
fact = Table(
    "fact",
    tables,
    *_fact_columns(version_in_key=False),
    Index("ix_fact_workday_agent", "tenant", "kind", "workday", "agent_id"),
    Index("ix_fact_call", "tenant", "call_id", postgresql_where="call_id IS NOT NULL"),
)

# Superseded versions, and those that came after a newer one.
Table("fact_version", tables, *_fact_columns(version_in_key=True))

FACT_COLUMNS = tuple(column.name for column in fact.columns)

# Events that came while the tenant's models were being changed; they are applied afterwards.
waiting_fact = Table(
    "waiting_fact",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("mode", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", LargeBinary, nullable=False),
)

# Components of the current version of each model, per agent and workday. Facts without an agent have NO_AGENT_ID.
partial = Table(
    "partial",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("kpi", Text, primary_key=True),
    Column("agent_id", Uuid(), primary_key=True),
    Column("workday", Date, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("sample", BigInteger, nullable=False),
    Column("components", ARRAY(Numeric()), nullable=False),
)
# Every batch updates rows in place: free space in the page allows updates that leave the index alone (HOT).
event.listen(partial, "after_create", DDL("ALTER TABLE partial SET (fillfactor = 70)"))

# Versions of events about agents, by which readers order them. Taken while the agent is locked.
Sequence("told_version", metadata=tables)

# Rows to lock: a transaction that changes an agent's facts, values or bands holds the agent's row.
Table(
    "agent_lock",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("agent_id", Uuid(), primary_key=True),
)

# Published stays in bands. `left` is the window of leaving, `held` are the windows between.
band_stay = Table(
    "band_stay",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("kpi", Text, nullable=False),
    Column("agent_id", Uuid(), nullable=False),
    Column("band", Text, nullable=False),
    Column("entered", Text, nullable=False),
    Column("left", Text, nullable=True),
    Column("from_band", Text, nullable=True),
    Column("to_band", Text, nullable=True),
    Column("model_version", Integer, nullable=False),
    Column("entry", JSONB, nullable=False),
    Column("exit", JSONB, nullable=False),
    Column("held", ARRAY(Text), nullable=False, server_default="{}"),
    Column("announced_at", DateTime(timezone=True), nullable=False),
    Column("retracted_at", DateTime(timezone=True), nullable=True),
    Index("ix_band_stay_agent", "tenant", "agent_id", "kpi"),
)

# What readers of a tenant see. A column or table that a view names is changed together with it.
add_report_view(
    fact,
    "report_leg",
    "tenant, id AS interaction_id, leg, agent_id, workday, started_at, ended_at, channel, "
    "direction, talk_ms, hold_ms, acw_ms, handle_ms, conversation_ms, silence_vendor_ms",
    "kind = 'legs' AND NOT void",
)
add_report_view(
    band_stay,
    "report_band_stay",
    'tenant, id, kpi, agent_id, band, entered AS entered_window, "left" AS left_window',
    "retracted_at IS NULL",
)
