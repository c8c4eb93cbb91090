"""The tables of gamification. A balance is always a sum over the ledger and is never stored."""

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    event,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from storage import add_report_view, create_metadata

tables = create_metadata()

ledger = Table(
    "ledger",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("agent_id", Uuid(), nullable=False),
    Column("rule", Text, nullable=False),
    Column("cause", Text, nullable=False),
    Column("occasion", Text, nullable=False),
    Column("points", Integer, nullable=False),
    Column("title", JSONB, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("earned_on", Date, nullable=False),
    Column("reverses", Uuid(), nullable=True),
    Column("reason", Text, nullable=True),
    Column("reason_code", Text, nullable=True),
    Column("reason_values", JSONB, nullable=True),
    Column("detail", JSONB, nullable=True),
    UniqueConstraint("tenant", "reverses"),
    Index(
        "uq_ledger_cause", "tenant", "agent_id", "rule", "cause", "occasion", unique=True,
        postgresql_where=text("reverses IS NULL"),
    ),
    Index("ix_ledger_agent", "tenant", "agent_id", "at", "id"),
    Index("ix_ledger_newest", "tenant", "at", "id"),
    Index("ix_ledger_earned_on", "tenant", "earned_on"),
    Index("ix_ledger_cause", "tenant", "cause"),
)  # fmt: skip
event.listen(
    ledger,
    "after_create",
    DDL(
        """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'the ledger is append-only: book a reversal instead'
    USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""
    ),
)

# Corrections of bands that were applied: a redelivered one must not reverse a grant that was made after it.
heard_correction = Table(
    "heard_correction",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("event_id", Uuid(), primary_key=True),
)

# The newest version of each stay in a band that was handled: older events have no effect.
heard_stay = Table(
    "heard_stay",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("band_event_id", Uuid(), primary_key=True),
    Column("version", BigInteger, nullable=False),
)

rule_edition = Table(
    "rule_edition",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("edition", Integer, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("body", JSONB(none_as_null=True), nullable=True),
    Column("at", DateTime(timezone=True), nullable=False),
)

leaderboard = Table(
    "leaderboard",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("slug", Text, primary_key=True),
    Column("body", JSONB, nullable=False),
)

score_day = Table(
    "score_day",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("agent_id", Uuid(), primary_key=True),
    Column("kpi", Text, primary_key=True),
    Column("workday", Date, primary_key=True),
    Column("value", Numeric(), nullable=True),
    Column("numerator", Numeric(), nullable=True),
    Column("denominator", Numeric(), nullable=True),
    Column("sample", Integer, nullable=False),
    Column("direction", Text, nullable=False),
    Column("model_version", Integer, nullable=False),
    Column("live", Boolean, nullable=False),
    Column("edition", Integer, nullable=True),
    Column("version", BigInteger, nullable=False, server_default="0"),
)

# What readers of a tenant see. A column or table that a view names is changed together with it.
add_report_view(
    ledger,
    "report_ledger_entry",
    "tenant, id, agent_id, rule, points, at AS booked_at, earned_on",
)
