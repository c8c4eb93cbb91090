"""Settings of kpi-engine."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class KpiEngineSettings(BaseSettings):
    """Read from environment variables that begin with KPI_ENGINE_."""

    model_config = SettingsConfigDict(env_prefix="KPI_ENGINE_")

    batch: int = Field(default=2000, ge=1, le=20000, description="Facts that are counted in one transaction at most.")
