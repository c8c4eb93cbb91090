"""Settings of identity alone, `IDENTITY_*`."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class IdentitySettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="IDENTITY_", extra="ignore")

    upload_bytes: int = 20_000_000
    """The largest file of people, and the largest blueprint."""
