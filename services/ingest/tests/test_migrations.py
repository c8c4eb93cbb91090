"""A database of before is brought to where a new one begins."""

import psycopg
from ingest.service import service
from servicekit.wiring import migrate_all
from testkit import Cluster

_COLUMNS = """
SELECT column_name, data_type, is_nullable FROM information_schema.columns
WHERE table_schema = 'ingest' AND table_name = 'leg_version' ORDER BY column_name
"""
_INDEX = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'ingest' AND indexname = 'ix_leg_version_document'"
_AS_BEFORE = """
ALTER TABLE ingest.leg_version DROP COLUMN document, DROP COLUMN position, ALTER COLUMN content SET NOT NULL;
UPDATE ingest.alembic_version SET version_num = '2026_11_23_0900_first';
INSERT INTO ingest.leg_version (tenant, interaction_id, leg, version, void, mode, known_at, content)
VALUES ('t1', gen_random_uuid(), 1, 1, false, 'live', now(), '{"external_id": "c-1"}')
"""


def test_contents_that_are_in_rows_stay_there(cluster: Cluster) -> None:
    with cluster.database([service]) as name:
        with psycopg.connect(cluster.server.url(database=name).replace("+psycopg", ""), autocommit=True) as admin:
            new = admin.execute(_COLUMNS).fetchall(), admin.execute(_INDEX).fetchall()
            admin.execute(_AS_BEFORE)
            migrate_all([service], cluster.settings(name))
            assert (admin.execute(_COLUMNS).fetchall(), admin.execute(_INDEX).fetchall()) == new
            found = admin.execute("SELECT document, content FROM ingest.leg_version").fetchall()
            assert found == [(None, {"external_id": "c-1"})]
