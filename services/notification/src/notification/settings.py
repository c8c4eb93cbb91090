"""Settings of notification, `NOTIFICATION_*`."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class NotificationSettings(BaseSettings):
    """Mail, webhooks, workers and streams. Durations in seconds."""

    model_config = SettingsConfigDict(env_prefix="NOTIFICATION_", extra="ignore")

    smtp_host: str | None = None
    """None: no mail is sent, and deliveries by mail are skipped."""
    smtp_port: int = 587
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_sender: str = "Uplift <no-reply@uplift.invalid>"
    smtp_timeout_seconds: float = Field(default=20, gt=0)

    webhook_allow_loopback: bool = False
    """Allows webhooks to loopback addresses, also by plain HTTP. For development."""
    webhook_ports: tuple[int, ...] = (443, 8443)
    webhook_timeout_seconds: float = Field(default=20, gt=0)

    lease_seconds: float = Field(default=90, gt=0)
    """The lease of an attempt. It must be longer than the time-outs, or a delivery is sent twice."""
    workers: int = Field(default=8, ge=1)

    stream_heartbeat_seconds: float = Field(default=15, gt=0)
    stream_poll_seconds: float = Field(default=15, gt=0)
    """How often a stream polls when no notification wakes it."""
