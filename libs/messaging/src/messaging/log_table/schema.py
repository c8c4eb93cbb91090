"""The tables of the log."""

from psycopg import AsyncConnection

from messaging.log_table.locks import lock_number

TABLES = """
-- IF NOT EXISTS would ask for the right to create schemas, even where somebody has already made this one for us.
DO $$ BEGIN
    IF to_regnamespace('broker') IS NULL THEN CREATE SCHEMA broker; END IF;
END $$;

CREATE TABLE IF NOT EXISTS broker.topics (
    name text PRIMARY KEY,
    partitions int NOT NULL,
    compacted boolean NOT NULL,
    retention_days int
);

-- One row a partition, locked by whoever publishes to it until commit: offsets have no gaps and become visible in order.
-- The empty space in each page lets updates stay in it, without a new index entry.
CREATE TABLE IF NOT EXISTS broker.heads (
    topic text NOT NULL REFERENCES broker.topics (name) ON DELETE CASCADE,
    partition int NOT NULL,
    next bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 20);

-- json, not jsonb: it gives back what it was given, NUL characters too, and is quicker to write and read.
CREATE TABLE IF NOT EXISTS broker.log (
    topic text NOT NULL,
    partition int NOT NULL,
    "offset" bigint NOT NULL,
    key text NOT NULL,
    headers json NOT NULL,
    value bytea,
    at timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);

CREATE TABLE IF NOT EXISTS broker.group_offsets (
    group_name text NOT NULL,
    topic text NOT NULL,
    partition int NOT NULL,
    next bigint NOT NULL,
    PRIMARY KEY (group_name, topic, partition)
) WITH (fillfactor = 20);

-- A member is alive while a session holds the advisory lock of its number.
CREATE TABLE IF NOT EXISTS broker.members (
    group_name text NOT NULL,
    topic text NOT NULL,
    member bigint NOT NULL,
    PRIMARY KEY (group_name, topic, member)
);

CREATE OR REPLACE VIEW broker.living_members AS
SELECT group_name, topic, member FROM broker.members
WHERE EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND classid = (member >> 32)::oid AND objid = (member & 4294967295)::oid
);
"""


async def create_tables(connection: AsyncConnection) -> None:
    """Creates the tables that are missing. Several processes may call it at the same time."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (lock_number("tables"),))
        await connection.execute(TABLES)
