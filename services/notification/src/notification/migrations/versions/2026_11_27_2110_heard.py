"""Of each thing that people are told of, the newest version that was heard."""

from alembic import op

revision = "2026_11_27_2110_heard"
down_revision = "2026_11_23_0900_first"

_WALL = "tenant = ANY((SELECT string_to_array(current_setting('uplift.tenants', true), ','))::text[])"


def upgrade() -> None:
    # A schema that was made before the first revision was frozen may have it already.
    op.execute(
        "CREATE TABLE IF NOT EXISTS heard (tenant text, subject text, version bigint NOT NULL, "
        "CONSTRAINT pk_heard PRIMARY KEY (tenant, subject))"
    )
    op.execute("ALTER TABLE heard ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    op.execute("DROP POLICY IF EXISTS tenant_wall ON heard")
    op.execute(f"CREATE POLICY tenant_wall ON heard USING ({_WALL}) WITH CHECK ({_WALL})")
