"""The tables that every service has besides its own, and the row-level security policy of tables with tenants' rows."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
)
from sqlalchemy import func as sql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

# Tables without row-level security: the relay, the consumer loop, the clock and the token check read them across tenants.
RLS_EXEMPT = frozenset(
    {
        "outbox",
        "consumer_offset",
        "due_item",
        "tenant_clock",
        "ended_session",
        "alembic_version",
        "storage_version",
    }
)

TENANT_POLICY = (
    "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"  # once a statement
)

PLATFORM_TABLES = MetaData()

outbox = Table(
    "outbox",
    PLATFORM_TABLES,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    Column("tenant", Text, nullable=False, server_default=""),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("key", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("value", LargeBinary, nullable=True),
    Column("at", DateTime(timezone=True), nullable=False, server_default=sql.clock_timestamp()),
    Index("ix_outbox_partition_seq", "partition", "seq"),
    Index("ix_outbox_tenant_topic_seq", "tenant", "topic", "seq"),
)

Table(
    "consumer_offset",
    PLATFORM_TABLES,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("next", BigInteger, nullable=False),
    # How often a consumer that had just started began the message at offset `begun` without finishing it.
    Column("begun", BigInteger, nullable=True),
    Column("attempts", Integer, nullable=False, server_default="0"),
)

dead_letter = Table(
    "dead_letter",
    PLATFORM_TABLES,
    Column("id", Uuid(), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("value", LargeBinary, nullable=True),
    Column("error", Text, nullable=False),
    Column("traceback", Text, nullable=False),
    Column("buried_at", DateTime(timezone=True), nullable=False, server_default=sql.now()),
    Column("replayed_at", DateTime(timezone=True), nullable=True),
    Index("uq_dead_letter_place", "topic", "partition", "offset", unique=True),
)

idempotent_response = Table(
    "idempotent_response",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("caller", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", DateTime(timezone=True), nullable=False),
)

due_item = Table(
    "due_item",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("at", DateTime(timezone=True), nullable=False),
    Column("body", JSONB, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("turn", Text, nullable=True),
    # Which worker handles it now, and until when by the database's clock.
    Column("lease", Uuid(), nullable=True),
    Column("leased_until", DateTime(timezone=True), nullable=True),
    Index("ix_due_item_at", "at"),
    Index("ix_due_item_tenant", "tenant", "at"),
)

tenant_clock = Table(
    "tenant_clock",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("now", DateTime(timezone=True), nullable=False),
)

# `ref` is `sid:…` or `sub:…`. A session belongs to a login, which may have tokens of several tenants.
ended_session = Table(
    "ended_session",
    PLATFORM_TABLES,
    Column("iss", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("ended_at", DateTime(timezone=True), nullable=False),
    Column("until", DateTime(timezone=True), nullable=False),
)

document = Table(
    "document",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("collection", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("body", JSONB, nullable=False),
    Column("blob", LargeBinary, nullable=True),
    Column("sha256", Text, nullable=True),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=sql.clock_timestamp()),
)

# The newest version of the tenant's blueprint whose section this service has processed, and its event.
blueprint_section = Table(
    "blueprint_section",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("event_id", Uuid(), nullable=False),
)

# By service, the names in its section (`names`) and the names of other services that it refers to (`named`), from its newest
# `blueprint.section_applied`. An edit may not refer to a missing name, nor remove one that is referred to. The service's own
# section is here too, as last published.
section_names = Table(
    "section_names",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("service", Text, primary_key=True),
    Column("names", JSONB, nullable=False),
    Column("named", JSONB),
    Column("event_id", Uuid(), nullable=False),
)

# The newest version of each directory state by key (type/tenant/id). Rows outlive an erasure, so that an older state that
# arrives late does not restore it.
Table(
    "directory_version",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("erased", Boolean, nullable=False),
)

directory_tenant = Table(
    "directory_tenant",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("body", JSONB, nullable=False),
)

directory_org_unit = Table(
    "directory_org_unit",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("slug", Text, nullable=False),
    Column("path", ARRAY(Uuid()), nullable=False),
    Column("body", JSONB, nullable=False),
    Index("ix_directory_org_unit_slug", "tenant", "slug"),
)

directory_person = Table(
    "directory_person",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("id", Uuid(), primary_key=True),
    Column("slug", Text, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("body", JSONB, nullable=False),
    Index("ix_directory_person_slug", "tenant", "slug"),
)

directory_login = Table(
    "directory_login",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("iss", Text, primary_key=True),
    Column("sub", Text, primary_key=True),
    Column("person_id", Uuid(), nullable=False),
    Index("ix_directory_login_person", "tenant", "person_id"),
)

directory_external_id = Table(
    "directory_external_id",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("person_id", Uuid(), primary_key=True),
    Column("valid_from", Date, primary_key=True),
    Column("valid_to", Date, nullable=False),
    Index("ix_directory_external_id_person", "tenant", "person_id"),
)

directory_membership = Table(
    "directory_membership",
    PLATFORM_TABLES,
    Column("tenant", Text, primary_key=True),
    Column("person_id", Uuid(), primary_key=True),
    Column("org_unit_id", Uuid(), primary_key=True),
    Column("valid_from", Date, primary_key=True),
    Column("valid_to", Date, nullable=False),
    Index("ix_directory_membership_org_unit", "tenant", "org_unit_id"),
)
