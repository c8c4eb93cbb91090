"""The audit log is of every service, says what was and what is, and cannot be changed."""

from alembic import op

revision = "2026_11_27_2150_audit"
down_revision = "2026_11_27_2110_kept_logins"

# Of entries from before there are digests only: {"sha256": …}. A schema that was made before the first revision
# was frozen may have the new columns already.
_COLUMNS = """
ALTER TABLE audit ADD COLUMN service text, ADD COLUMN kind text, ADD COLUMN ref text, ADD COLUMN actor jsonb,
ADD COLUMN actor_id uuid, ADD COLUMN request_id text, ADD COLUMN correlation_id uuid,
ADD COLUMN blueprint_version integer, ADD COLUMN changed jsonb NOT NULL DEFAULT '[]',
ADD COLUMN notes jsonb NOT NULL DEFAULT '[]',
ALTER COLUMN before TYPE jsonb USING CASE WHEN before IS NOT NULL THEN jsonb_build_object('sha256', before) END,
ALTER COLUMN after TYPE jsonb USING CASE WHEN after IS NOT NULL THEN jsonb_build_object('sha256', after) END
"""
_FILL = """
UPDATE audit SET service = 'identity', kind = split_part(subject, '/', 1),
ref = substr(subject, strpos(subject, '/') + 1),
actor = jsonb_build_object(
    'kind', CASE WHEN strpos("by", '/') > 0 THEN 'person' ELSE 'system' END,
    'tenant', CASE WHEN strpos("by", '/') > 0 THEN split_part("by", '/', 1) ELSE tenant END,
    'slug', substr("by", strpos("by", '/') + 1), 'display_name', substr("by", strpos("by", '/') + 1), 'id', NULL)
"""
_STRICT = """
ALTER TABLE audit ALTER COLUMN service SET NOT NULL, ALTER COLUMN kind SET NOT NULL, ALTER COLUMN ref SET NOT NULL,
ALTER COLUMN actor SET NOT NULL, ALTER COLUMN changed DROP DEFAULT, ALTER COLUMN notes DROP DEFAULT, DROP COLUMN subject
"""
_INDEXES = {
    "thing": "tenant, kind, ref, id",
    "by": 'tenant, "by", id',
    "service": "tenant, service, id",
    "at": "tenant, at",
}
_REFUSE = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'entries of the audit log are kept as they are'; END $$
"""


def upgrade() -> None:
    columns = "SELECT count(*) FROM information_schema.columns WHERE table_schema = current_schema() AND "
    of_old = columns + "table_name = 'audit' AND column_name = 'subject'"
    if op.get_bind().exec_driver_sql(of_old).scalar():
        op.execute("ALTER TABLE audit NO FORCE ROW LEVEL SECURITY")  # all tenants' rows, this once
        for statement in (_COLUMNS, _FILL, _STRICT):
            op.execute(statement)
        op.execute("ALTER TABLE audit FORCE ROW LEVEL SECURITY")
    for name, of in _INDEXES.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS ix_audit_{name} ON audit ({of})")
    op.execute(_REFUSE)
    op.execute(
        "CREATE OR REPLACE TRIGGER audit_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
