"""The first tables."""

from alembic import op

revision = "2026_11_23_0900_first"
down_revision = None

_TABLES = """
CREATE TABLE topics (
    name text PRIMARY KEY,
    partitions int NOT NULL,
    compacted boolean NOT NULL,
    retention_days int
);

-- One row a partition, locked by whoever publishes to it until commit: offsets have no gaps and become visible in order.
-- The empty space in each page lets updates stay in it, without a new index entry.
CREATE TABLE heads (
    topic text NOT NULL REFERENCES topics (name) ON DELETE CASCADE,
    partition int NOT NULL,
    next bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 20);

-- json, not jsonb: it gives back what it was given, NUL characters too, and is quicker to write and read.
CREATE TABLE log (
    topic text NOT NULL,
    partition int NOT NULL,
    "offset" bigint NOT NULL,
    key text NOT NULL,
    headers json NOT NULL,
    value bytea,
    at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

CREATE TABLE group_offsets (
    group_name text NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    next bigint NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
) WITH (fillfactor = 20);

-- A member is alive while a session holds the advisory lock of its number.
CREATE TABLE members (
    group_name text NOT NULL,
    topic text NOT NULL,
    member bigint NOT NULL,
    PRIMARY KEY (group_name, topic, member)
);

CREATE VIEW living_members AS
SELECT group_name, topic, member FROM members
WHERE EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid = (member >> 32)::oid AND objid = (member & 4294967295)::oid
);
"""


def upgrade() -> None:
    op.execute(_TABLES)
