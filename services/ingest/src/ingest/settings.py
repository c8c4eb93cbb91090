"""Settings of ingest. Only service.py reads them."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class IngestSettings(BaseSettings):
    """Limits of uploads, from the environment variables `INGEST_*`."""

    model_config = SettingsConfigDict(env_prefix="INGEST_", extra="ignore")

    body_mb: int = 1024
    """The largest body as sent, in MB."""
    inflated_mb: int = 8192
    """The most that a gzip body may inflate to, in MB."""
    record_mb: int = 8
    """The largest single record, in MB."""
    chunk_records: int = 1000
    """How many records are judged in one transaction."""
    uploads_per_tenant: int = 4
    """Uploads of one tenant that one process takes at the same time; further ones are told to come again."""
    uploads: int = 8
    """Uploads that one process takes at the same time."""
    queued_per_tenant: int = 200
    """Bodies of one tenant that may wait to be read."""
    records: int = 5_000_000
    """Records of one body."""
    records_per_tenant_hour: int = 20_000_000
    """Records that one process takes of a tenant within an hour; further uploads are told when to come again."""
    rejects: int = 100_000
    """Rejected records of one body, after which nothing more of it is read."""
    rejects_kept: int = 1000
    """Rejected records that a receipt keeps and lists; the others are counted only."""
    rejects_per_tenant_hour: int = 1_000_000
    """Rejected records that one process takes of a tenant within an hour."""
