"""By which `sub` the login provider knows an account or a machine: its login is nobody else's."""

from alembic import op

revision = "2026_11_27_2110_kept_logins"
down_revision = "2026_11_27_2100_versions"


def upgrade() -> None:
    op.execute("ALTER TABLE provision ADD COLUMN IF NOT EXISTS sub text")
