"""The tables of ingest. Raw payloads are documents; the tables hold what was read from them, and what was derived."""

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    event,
)
from sqlalchemy import func as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from storage import create_metadata

tables = create_metadata()

source = Table(
    "source",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("slug", Text, primary_key=True),
    Column("vendor", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("options", JSONB, nullable=False),
    Column("mapping", JSONB(none_as_null=True)),
    Column("updated_at", DateTime(timezone=True), nullable=False),
)

receipt = Table(
    "receipt",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("source", Text, nullable=False),
    Column("mode", Text, nullable=False),
    # receiving | queued | reading | done | interrupted | cancelled | replaying | undoing | undone
    Column("status", Text, nullable=False),
    Column("work", JSONB),  # progress of a replay or an undo
    Column("sent_by", Uuid(), nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("touched_at", DateTime(timezone=True), nullable=False, server_default=sql.clock_timestamp()),
    Column("idempotency_key", Text),
    Column("digest", Text),  # of the request that had the key
    Column("notes", JSONB, nullable=False, server_default="[]"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("received", Integer, nullable=False, server_default="0"),
    Column("accepted", Integer, nullable=False, server_default="0"),
    Column("unchanged", Integer, nullable=False, server_default="0"),
    Column("corrected", Integer, nullable=False, server_default="0"),
    Column("held", Integer, nullable=False, server_default="0"),
    Column("rejected", Integer, nullable=False, server_default="0"),
    Column("not_kept", Integer, nullable=False, server_default="0"),  # rejected records without a row
    Index("ix_receipt_received", "tenant", "received_at", "id"),
    Index("ix_receipt_source", "tenant", "source", "received_at"),
    Index("ix_receipt_key", "tenant", "sent_by", "idempotency_key", postgresql_where="idempotency_key IS NOT NULL"),
)

# A received record: its verdict, and its location (`position` in the raw document).
record = Table(
    "record",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("receipt_id", Uuid(), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("line", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("field", Text),
    Column("reason", Text),
    Column("cure", Text),
    Column("contact", Text),
    Column("kind", Text),
    Column("part_id", Uuid()),
    Column("document", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Index("ix_record_part", "tenant", "part_id", postgresql_where="part_id IS NOT NULL"),
    Index("ix_record_problem", "tenant", "receipt_id", "number", postgresql_where="verdict IN ('rejected', 'held')"),
)

# `root`: the contact that the interaction began with; `seq`: the order of arrival.
part = Table(
    "part",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("source", Text, nullable=False),
    Column("root", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("hash", Uuid(), nullable=False),
    Column("stamp", BigInteger),
    Column("initial", Text),
    Column("facts", JSONB, nullable=False),
    Column("mode", Text, nullable=False),
    Column("receipt_id", Uuid(), nullable=False),
    Column("document", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Index("uq_part_content", "tenant", "source", "contact", "kind", "hash", unique=True),
    Index("ix_part_root", "tenant", "source", "root"),
)

interaction = Table(
    "interaction",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("source", Text, nullable=False),
    Column("root", Text, nullable=False),
)

leg = Table(
    "leg",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("interaction_id", Uuid(), primary_key=True),
    Column("leg", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("root", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("void", Boolean, nullable=False),
    Column("mode", Text, nullable=False),
    Column("hash", Uuid(), nullable=False),
    Column("agent_id", Uuid()),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("workday", Date, nullable=False),
    Index("ix_leg_root", "tenant", "source", "root"),
    Index("ix_leg_external", "tenant", "external_id"),
    Index("ix_leg_agent", "tenant", "agent_id", "started_at"),
)
# Every correction updates the row. Free room in the page allows a heap-only update, which leaves the indexes alone.
event.listen(leg, "after_create", DDL("ALTER TABLE leg SET (fillfactor = 80)"))

# The content lies in a document, one line a version. It lies in `content` if an older release wrote it, or if it is larger
# than a document.
leg_version = Table(
    "leg_version",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("interaction_id", Uuid(), primary_key=True),
    Column("leg", Integer, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("void", Boolean, nullable=False),
    Column("mode", Text, nullable=False),
    Column("known_at", DateTime(timezone=True), nullable=False),
    Column("receipt_id", Uuid()),
    Column("document", Uuid()),
    Column("position", Integer),
    Column("content", JSONB),
    # For the sweeper, which asks whether a document is used. All its versions were written in one transaction.
    Index("ix_leg_version_document", "tenant", "document", postgresql_where="position = 0"),
)

# Contacts and agents' states that have no effect yet. `waits_for`: names of an agent, or kinds of parts. Of an agent's
# states, `contact` and `root` are the agent.
held = Table(
    "held",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("contact", Text, primary_key=True),
    Column("root", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("waits_for", ARRAY(Text), nullable=False),
    Column("since", DateTime(timezone=True), nullable=False),
    Index("ix_held_root", "tenant", "source", "root"),
    Index("ix_held_waits_for", "waits_for", postgresql_using="gin"),
)

# As a receipt reports: from `at` (milliseconds) on, the agent was in this state (null: logged out).
agent_point = Table(
    "agent_point",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("receipt_id", Uuid(), primary_key=True),
    Column("state", Text),
    Column("stamp", BigInteger, nullable=False),
    Column("mode", Text, nullable=False),
    Index("ix_agent_point_receipt", "tenant", "receipt_id"),
)

agent_state = Table(
    "agent_state",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("started", BigInteger, primary_key=True),
    Column("ended", BigInteger),
    Column("state", Text, nullable=False),
    Column("state_id", Uuid(), nullable=False),
    Column("version", Integer, nullable=False),
    Column("void", Boolean, nullable=False),
    Column("mode", Text, nullable=False),
    Column("agent_id", Uuid(), nullable=False),
    Column("workday", Date, nullable=True),  # null: an older release wrote the row
)

# All names of an agent in agent events; one of them may be in the directory.
agent_name = Table(
    "agent_name",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("names", ARRAY(Text), nullable=False),
)

# What a person's legs were derived from: the person's external ids, and the inputs of the person's workdays. When either
# changes, the legs are derived again. The nil id stands for nobody, whose workdays are the tenant's.
known_person = Table(
    "known_person",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("person_id", Uuid(), primary_key=True),
    Column("external_ids", JSONB, nullable=False),
    Column("days", JSONB(none_as_null=True), nullable=True),
)
