"""The tables of notification."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from storage import create_metadata

tables = create_metadata()

rule = Table(
    "rule",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("on_event", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    Index("ix_rule_on_event", "tenant", "on_event"),
)

text = Table(
    "text",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("language", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
)

webhook = Table(
    "webhook",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("webhook", Text, primary_key=True),
    Column("url", Text, nullable=False),
    Column("events", ARRAY(Text), nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("disabled_reason", Text, nullable=True),
    Column("salt", Text, nullable=False),
    Column("previous_salt", Text, nullable=True),
    Column("previous_until", DateTime(timezone=True), nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

# The newest version of each subject that an event has carried: older versions create no notices.
newest_version = Table(
    "heard",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
)

notice = Table(
    "notice",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    # Rises in the order of commits: see `notices.insert_notices`.
    Column("seq", BigInteger, Identity(always=True), nullable=False),
    Column("person_id", Uuid(), nullable=False),
    Column("rule", Text, nullable=False),
    Column("event_id", Uuid(), nullable=False),
    Column("event_type", Text, nullable=False),
    Column("in_app", Boolean, nullable=False),
    Column("language", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("refs", JSONB, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("read_at", DateTime(timezone=True), nullable=True),
    UniqueConstraint("tenant", "rule", "event_id", "person_id"),
    Index("ix_notice_inbox", "tenant", "person_id", "seq", unique=True),
)

delivery = Table(
    "delivery",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("channel", Text, nullable=False),
    Column("notice_id", Uuid(), nullable=True),
    Column("webhook", Text, nullable=True),
    Column("event_id", Uuid(), nullable=False),
    Column("event_type", Text, nullable=False),
    Column("payload", Text, nullable=True),
    Column("state", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("next_at", DateTime(timezone=True), nullable=True),
    # By the database's clock, not the tenant's: workers run in real time.
    Column("leased_until", DateTime(timezone=True), nullable=True),
    UniqueConstraint("tenant", "notice_id", "channel"),
    Index("uq_delivery_webhook_event", "tenant", "webhook", "event_id", unique=True),
    Index("ix_delivery_webhook", "tenant", "webhook", "id"),
)

attempt = Table(
    "attempt",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("delivery_id", Uuid(), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at", DateTime(timezone=True), nullable=False),
    Column("finished_at", DateTime(timezone=True), nullable=True),
    Column("outcome", Text, nullable=False),
    Column("status", Integer, nullable=True),
    Column("detail", Text, nullable=False),
)
