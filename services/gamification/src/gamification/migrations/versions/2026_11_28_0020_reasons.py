"""Why points were taken back has a code, beside the sentence that logs have. Entries from before stay as they are, since the
ledger is only ever added to."""

from alembic import op

revision = "2026_11_28_0020_reasons"
down_revision = "2026_11_27_2110_versions"


def upgrade() -> None:
    op.execute(
        "ALTER TABLE ledger ADD COLUMN IF NOT EXISTS reason_code text, ADD COLUMN IF NOT EXISTS reason_values jsonb"
    )
