"""The tables of identity. `state` is the body of the row's directory event without `version`, which has its own column and rises
with each write; the other columns are what is searched by or unique."""

from sqlalchemy import DDL, JSON, Boolean, Column, Date, DateTime, Index, Integer, Table, Text, Uuid, event
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from storage import create_metadata

tables = create_metadata()

tenant = Table(
    "tenant",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("state", JSONB, nullable=False),
    Column("version", Integer, nullable=False, server_default="0"),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

# The list of all tenants. Its rows belong to the platform tenant.
customer = Table(
    "customer",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("slug", Text, primary_key=True),
    Column("created_at", DateTime(timezone=True), nullable=False),
)

org_unit = Table(
    "org_unit",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("slug", Text, nullable=False),
    Column("path", ARRAY(Uuid()), nullable=False),
    Column("state", JSONB, nullable=False),
    Column("version", Integer, nullable=False, server_default="0"),
    Index("uq_org_unit_slug", "tenant", "slug", unique=True),
)

person = Table(
    "person",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("slug", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("state", JSONB, nullable=False),
    Column("version", Integer, nullable=False, server_default="0"),
    Index("uq_person_slug", "tenant", "slug", unique=True),
)

login = Table(
    "login",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("iss", Text, primary_key=True),
    Column("sub", Text, primary_key=True),
    Column("person_id", Uuid(), nullable=False),
    Index("ix_login_person", "tenant", "person_id"),
)

external_id = Table(
    "external_id",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("valid_from", Date, primary_key=True),
    Column("valid_to", Date, nullable=False),
    Column("person_id", Uuid(), nullable=False),
    Index("ix_external_id_person", "tenant", "person_id"),
)

membership = Table(
    "membership",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("person_id", Uuid(), primary_key=True),
    Column("org_unit_id", Uuid(), primary_key=True),
    Column("valid_from", Date, primary_key=True),
    Column("valid_to", Date, nullable=False),
    Index("ix_membership_org_unit", "tenant", "org_unit_id"),
)

blueprint = Table(
    "blueprint",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("sections", JSON, nullable=False),  # JSON and not JSONB keeps the order of keys for readers of the export
    Column("published_at", DateTime(timezone=True), nullable=False),
    Column("published_by", Text, nullable=False),
)

section = Table(
    "section",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("applied_version", Integer, nullable=True),
    Column("rejected_version", Integer, nullable=True),
    Column("problems", JSONB, nullable=False),
    Column("content", JSON(none_as_null=True), nullable=True),
    Column("event_id", Uuid(), nullable=True),  # of the answer with `content`; ids sort by time
)

# The audit log: changes of configuration in every service. `id` is that of the event; rows are never changed.
audit = Table(
    "audit",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("service", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("actor", JSONB, nullable=False),
    Column("actor_id", Uuid(), nullable=True),
    Column("request_id", Text, nullable=True),
    Column("correlation_id", Uuid(), nullable=True),
    Column("blueprint_version", Integer, nullable=True),
    Column("before", JSONB(none_as_null=True), nullable=True),
    Column("after", JSONB(none_as_null=True), nullable=True),
    Column("changed", JSONB, nullable=False),
    Column("notes", JSONB, nullable=False),
    Index("ix_audit_thing", "tenant", "kind", "ref", "id"),
    Index("ix_audit_by", "tenant", "by", "id"),
    Index("ix_audit_service", "tenant", "service", "id"),
    Index("ix_audit_at", "tenant", "at"),
)
event.listen(
    audit,
    "after_create",
    DDL(
        """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'entries of the audit log are kept as they are'; END $$;
CREATE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""
    ),
)

# What the login provider shall hold of a tenant: its organization, applications, accounts, own identity provider.
# `leaving`: it shall be removed. `sealed`: an encrypted secret, until the provider has it. `sub`: the subject of the tokens of
# an account or a machine.
desired_resource = Table(
    "provision",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("slug", Text, primary_key=True),
    Column("wanted", JSONB, nullable=False),
    Column("leaving", Boolean, nullable=False),
    Column("sealed", Text, nullable=True),
    Column("sub", Text, nullable=True),
    Column("state", Text, nullable=False),
    Column("error", Text, nullable=True),
    Column("attempts", Integer, nullable=False),
    Column("asked_at", DateTime(timezone=True), nullable=False),
    Column("applied_at", DateTime(timezone=True), nullable=True),
)

# Used logout tokens. The rows belong to the platform tenant: a logout token names no tenant.
logout_token = Table(
    "logout_token",
    tables,
    Column("tenant", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("until", DateTime(timezone=True), nullable=False),
)
