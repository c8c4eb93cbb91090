"""Rows that older releases wrote can still be read."""

import psycopg
from ingest.service import service
from servicekit.wiring import build_role_url
from storage import ensure_schema, migrate
from testkit import Cluster

_VERSION = """
INSERT INTO ingest.leg_version (tenant, interaction_id, leg, version, void, mode, known_at, content)
VALUES ('t1', gen_random_uuid(), 1, 1, false, 'live', now(), '{"external_id": "c-1"}')
"""


def test_contents_that_are_in_rows_stay_there(cluster: Cluster, empty_database: str) -> None:
    settings = cluster.settings(empty_database)
    ensure_schema(str(settings.admin_database_url), "ingest", role="ingest")
    url = build_role_url(settings, "ingest")
    migrate(url, service.migrations, to="2026_11_23_0900_first")
    with psycopg.connect(cluster.server.url(database=empty_database).replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(_VERSION)
        migrate(url, service.migrations)
        found = admin.execute("SELECT document, content FROM ingest.leg_version").fetchall()
        assert found == [(None, {"external_id": "c-1"})]
