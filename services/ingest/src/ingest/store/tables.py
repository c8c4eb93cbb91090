"""Ingest's tables. Raw payloads are documents; here are what was read out of them, and what came of it."""

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
    Column("id", Uuid, primary_key=True),
    Column("source", Text, nullable=False),
    Column("mode", Text, nullable=False),
    # receiving | queued | reading | done | interrupted | cancelled | replaying | undoing | undone
    Column("status", Text, nullable=False),
    Column("work", JSONB),  # of one that is replayed or undone: how far that is
    Column("sent_by", Uuid, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True)),
    Column("touched_at", DateTime(timezone=True), nullable=False, server_default=sql.clock_timestamp()),
    Column("idempotency_key", Text),
    Column("digest", Text),  # of the request that brought the key
    Column("notes", JSONB, nullable=False, server_default="[]"),
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("received", Integer, nullable=False, server_default="0"),
    Column("accepted", Integer, nullable=False, server_default="0"),
    Column("unchanged", Integer, nullable=False, server_default="0"),
    Column("corrected", Integer, nullable=False, server_default="0"),
    Column("held", Integer, nullable=False, server_default="0"),
    Column("rejected", Integer, nullable=False, server_default="0"),
    Column("not_kept", Integer, nullable=False, server_default="0"),  # of the rejected ones: they have no row
    Index("ix_receipt_received", "tenant", "received_at", "id"),
    Index("ix_receipt_source", "tenant", "source", "received_at"),
    Index("ix_receipt_key", "tenant", "sent_by", "idempotency_key", postgresql_where="idempotency_key IS NOT NULL"),
)

# One row a record received: the verdict, and where the record lies (`position` in the raw document).
record = Table(
    "record",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("receipt_id", Uuid, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("line", Integer, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("field", Text),
    Column("reason", Text),
    Column("cure", Text),
    Column("contact", Text),
    Column("kind", Text),
    Column("part_id", Uuid),
    Column("document", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Index("ix_record_part", "tenant", "part_id", postgresql_where="part_id IS NOT NULL"),
    Index("ix_record_problem", "tenant", "receipt_id", "number", postgresql_where="verdict IN ('rejected', 'held')"),
)

# `root` is the contact that the interaction began with; `seq` the order of arrival.
part = Table(
    "part",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("source", Text, nullable=False),
    Column("root", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("hash", Uuid, nullable=False),
    Column("stamp", BigInteger),
    Column("initial", Text),
    Column("facts", JSONB, nullable=False),
    Column("mode", Text, nullable=False),
    Column("receipt_id", Uuid, nullable=False),
    Column("document", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Index("uq_part_content", "tenant", "source", "contact", "kind", "hash", unique=True),
    Index("ix_part_root", "tenant", "source", "root"),
)

interaction = Table(
    "interaction",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("source", Text, nullable=False),
    Column("root", Text, nullable=False),
)

leg = Table(
    "leg",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("interaction_id", Uuid, primary_key=True),
    Column("leg", Integer, primary_key=True),
    Column("source", Text, nullable=False),
    Column("root", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("void", Boolean, nullable=False),
    Column("mode", Text, nullable=False),
    Column("hash", Uuid, nullable=False),
    Column("agent_id", Uuid),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("workday", Date, nullable=False),
    Index("ix_leg_root", "tenant", "source", "root"),
    Index("ix_leg_external", "tenant", "external_id"),
    Index("ix_leg_agent", "tenant", "agent_id", "started_at"),
)
# Heads are rewritten in place by every correction: room in the page keeps that off the index.
event.listen(leg, "after_create", DDL("ALTER TABLE leg SET (fillfactor = 80)"))

# `content` lies in a document, one line a version; in the row where it is older than that, or larger than a document.
leg_version = Table(
    "leg_version",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("interaction_id", Uuid, primary_key=True),
    Column("leg", Integer, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("void", Boolean, nullable=False),
    Column("mode", Text, nullable=False),
    Column("known_at", DateTime(timezone=True), nullable=False),
    Column("receipt_id", Uuid),
    Column("document", Uuid),
    Column("position", Integer),
    Column("content", JSONB),
    # So that the sweeper finds whether a document is named: all its versions were written in one transaction.
    Index("ix_leg_version_document", "tenant", "document", postgresql_where="position = 0"),
)

# What has no effect yet, and what it waits for: agents' names, or kinds of parts. `root` of agents' states is the agent.
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

# One row a receipt that says so: from `at` (milliseconds) on the agent was in this state (null: logged out).
agent_point = Table(
    "agent_point",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("receipt_id", Uuid, primary_key=True),
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
    Column("state_id", Uuid, nullable=False),
    Column("version", Integer, nullable=False),
    Column("void", Boolean, nullable=False),
    Column("mode", Text, nullable=False),
    Column("agent_id", Uuid, nullable=False),
    Column("workday", Date, nullable=True),  # null: written by a version that did not keep it
)

# Every name that an agent event gave an agent, so that one of them may be found in the directory.
agent_name = Table(
    "agent_name",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("agent", Text, primary_key=True),
    Column("names", ARRAY(Text), nullable=False),
)

# What the directory last said of a person's ids here, and what the person's days depend on: a change of either moves legs
# that were counted already. The nil id stands for nobody, whose days are the tenant's.
known_person = Table(
    "known_person",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("person_id", Uuid, primary_key=True),
    Column("external_ids", JSONB, nullable=False),
    Column("days", JSONB(none_as_null=True), nullable=True),
)
