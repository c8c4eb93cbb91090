"""Entries of the audit log from before it had values before and after stay in it."""

from identity.service import service
from servicekit.wiring import build_role_url
from sqlalchemy import create_engine, text
from storage import ensure_schema, migrate
from testkit import Cluster

OLD = """
INSERT INTO audit VALUES ('acme', gen_random_uuid(), now(), 'acme/boss', 'person.changed', 'person/ada', NULL, 'abc'),
    ('zeta', gen_random_uuid(), now(), 'system', 'tenant.added', 'tenant/zeta', 'abc', 'def')
"""
TENANTS = "SELECT set_config('uplift.tenants', :tenants, true)"


def test_entries_of_old_stay(cluster: Cluster, empty_database: str) -> None:
    settings = cluster.settings(empty_database)
    ensure_schema(str(settings.admin_database_url), "identity", role="identity")
    url = build_role_url(settings, "identity")
    migrate(url, service.migrations, to="2026_11_27_2110_kept_logins")
    engine = create_engine(url, connect_args={"options": "-c search_path=identity -c timezone=UTC"})
    with engine.begin() as connection:
        connection.execute(text(TENANTS), {"tenants": "acme,zeta"})
        connection.execute(text(OLD))
    assert migrate(url, service.migrations) == service.migrations.head()
    with engine.begin() as connection:
        connection.execute(text(TENANTS), {"tenants": "acme"})
        (entry,) = connection.execute(text("SELECT * FROM audit")).mappings().all()
    assert (entry["service"], entry["kind"], entry["ref"]) == ("identity", "person", "ada")
    assert (entry["before"], entry["after"], entry["changed"]) == (None, {"sha256": "abc"}, [])
    actor = {"kind": "person", "tenant": "acme", "slug": "boss", "display_name": "boss", "id": None}
    assert entry["actor"] == actor
    engine.dispose()
