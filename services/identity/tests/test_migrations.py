"""Entries of the audit log from before it told what was and what is stay in it."""

from identity.service import service
from sqlalchemy import create_engine, text
from storage import migrate
from testkit import Cluster

OLD = """
DROP TABLE audit; DROP FUNCTION refuse_change;
CREATE TABLE audit (tenant text, id uuid, at timestamptz NOT NULL, "by" text NOT NULL, action text NOT NULL,
    subject text NOT NULL, before text, after text, PRIMARY KEY (tenant, id));
CREATE INDEX ix_audit_subject ON audit (tenant, subject);
INSERT INTO audit VALUES ('acme', gen_random_uuid(), now(), 'acme/boss', 'person.changed', 'person/ada', NULL, 'abc'),
    ('zeta', gen_random_uuid(), now(), 'system', 'tenant.added', 'tenant/zeta', 'abc', 'def');
ALTER TABLE audit ENABLE ROW LEVEL SECURITY; ALTER TABLE audit FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_wall ON audit USING (tenant = current_setting('uplift.tenants', true));
UPDATE alembic_version SET version_num = '2026_11_27_2110_kept_logins';
"""


def test_entries_of_old_stay(cluster: Cluster) -> None:
    with cluster.database([service]) as database:
        url = cluster.settings(database).database_url.replace("{role}", "identity")
        engine = create_engine(url, connect_args={"options": "-c search_path=identity -c timezone=UTC"})
        with engine.begin() as connection:
            connection.execute(text(OLD))
        assert migrate(url, service.migrations) == service.migrations.head()
        with engine.begin() as connection:
            connection.execute(text("SELECT set_config('uplift.tenants', 'acme', true)"))
            (entry,) = connection.execute(text("SELECT * FROM audit")).mappings().all()
        assert (entry["service"], entry["kind"], entry["ref"]) == ("identity", "person", "ada")
        assert (entry["before"], entry["after"], entry["changed"]) == (None, {"sha256": "abc"}, [])
        actor = {"kind": "person", "tenant": "acme", "slug": "boss", "display_name": "boss", "id": None}
        assert entry["actor"] == actor
        engine.dispose()
