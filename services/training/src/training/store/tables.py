"""The tables. Contents of templates are documents; the tables hold their ids and everything that changes."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from storage import add_report_view, create_metadata

tables = create_metadata()

content = Table(
    "content",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("document", Text, primary_key=True),
    Column("template", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("title", JSONB, nullable=False),
    Column("saved_at", DateTime(timezone=True), nullable=False),
)

template = Table(
    "template",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("slug", Text, primary_key=True),
    Column("draft", Text, nullable=True),
    Column("scheduled", Text, nullable=True),
    Column("scheduled_at", DateTime(timezone=True), nullable=True),
    Column("version", Integer, nullable=True),
    Column("archived", Boolean, nullable=False, server_default=text("false")),
)

template_version = Table(
    "template_version",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("template", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("document", Text, nullable=False),
    Column("published_at", DateTime(timezone=True), nullable=False),
)

rule = Table(
    "rule",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("slug", Text, primary_key=True),
    Column("body", JSONB, nullable=False),
)

band_stay = Table(
    "band_stay",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("band_event_id", Uuid(), primary_key=True),
    Column("agent_id", Uuid(), nullable=False),
    Column("kpi", Text, nullable=False),
    Column("band", Text, nullable=False),
    Column("model_version", Integer, nullable=False),
    Column("entered_on", Date, nullable=True),
    Column("left_on", Date, nullable=True),
    Column("retracted", Boolean, nullable=False, server_default=text("false")),
    Column("heard", ARRAY(Uuid()), nullable=False),
    Column("version", BigInteger, nullable=False, server_default="0"),
    Column("windows", JSONB, nullable=False, server_default=text("'{}'")),
    Index("ix_band_stay_kpi", "tenant", "kpi", "agent_id"),
)

assignment = Table(
    "assignment",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("agent_id", Uuid(), nullable=False),
    Column("template", Text, nullable=False),
    Column("template_version", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("rule", Text, nullable=True),
    Column("band_event_id", Uuid(), nullable=True),
    Column("kpi", Text, nullable=True),
    Column("band", Text, nullable=True),
    Column("evidence", JSONB, nullable=True),
    Column("withdraw_when_left", Boolean, nullable=False, server_default=text("false")),
    Column("due_days", Integer, nullable=True),
    Column("assigned_by", Uuid(), nullable=True),
    Column("assigned_at", DateTime(timezone=True), nullable=False),
    Column("due_at", DateTime(timezone=True), nullable=True),
    Column("overdue_at", DateTime(timezone=True), nullable=True),
    Column("started_at", DateTime(timezone=True), nullable=True),
    Column("completed_at", DateTime(timezone=True), nullable=True),
    Column("withdrawn_at", DateTime(timezone=True), nullable=True),
    Column("withdrawn_reason", Text, nullable=True),
    Column("withdrawn_code", Text, nullable=True),
    Column("withdrawn_values", JSONB, nullable=True),
    Column("corrected", Boolean, nullable=False, server_default=text("false")),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("score_percent", Integer, nullable=True),
    Column("passed", Boolean, nullable=True),
    Column("version", Integer, nullable=False, server_default="1"),
    # A rule assigns its training once for each: a stay, a round in a stay, or an assignment that was failed or overdue.
    Column("occasion", Text, nullable=True),
    Index("uq_assignment_occasion", "tenant", "rule", "occasion", unique=True),
    Index("ix_assignment_agent", "tenant", "agent_id", "assigned_at"),
    Index("ix_assignment_template", "tenant", "template", "status"),
    Index("ix_assignment_newest", "tenant", "assigned_at", "id"),
    Index("ix_assignment_band_event", "tenant", "band_event_id"),
)

attempt = Table(
    "attempt",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("assignment_id", Uuid(), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("answers", JSONB, nullable=False),
    Column("score_percent", Integer, nullable=False),
    Column("passed", Boolean, nullable=False),
)

skipped = Table(
    "skipped",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("occasion", Text, primary_key=True),
    Column("band_event_id", Uuid(), nullable=True),
    Column("agent_id", Uuid(), nullable=False),
    Column("template", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
    Index("ix_skipped_newest", "tenant", "at", "occasion", "rule"),
)

# What readers of a tenant see. A column or table that a view names is changed together with it.
add_report_view(
    assignment,
    "report_assignment",
    "tenant, id, agent_id, template, status, kpi, band, assigned_at, due_at, completed_at, passed",
)
