"""The report of an import."""

from pydantic import BaseModel

from identity.model.importing.sheet import IgnoredColumn, RejectedLine


class ImportedLine(BaseModel):
    """`fields` are what changed of the person."""

    line: int
    slug: str
    fields: list[str] = []


class ImportReport(BaseModel):
    """What an import did, or with `dry_run` would do. Every line that is not empty is in exactly one of `created`,
    `changed`, `unchanged` (only counted) and `rejected`."""

    dry_run: bool = False
    lines: int = 0
    created: list[ImportedLine] = []
    changed: list[ImportedLine] = []
    unchanged: int = 0
    rejected: list[RejectedLine] = []
    org_units_created: list[str] = []
    ignored_columns: list[IgnoredColumn] = []
