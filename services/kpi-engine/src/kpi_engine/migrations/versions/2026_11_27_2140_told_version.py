"""What is told of agents is numbered."""

from alembic import op

revision = "2026_11_27_2140_told_version"
down_revision = "2026_11_27_2135_calls_judged"


def upgrade() -> None:
    op.execute("CREATE SEQUENCE IF NOT EXISTS told_version")
