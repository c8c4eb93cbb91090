"""Notification: rules turn events into notices in the reader's language, delivered in the app with a live stream, by
mail and by signed webhooks, with retries and a timeline of every delivery."""

from servicekit import Service, ServiceContext, ServiceParts
from servicekit.blueprints.checking import SectionChecker
from servicekit.outbound import UrlPolicy
from storage import Migrations

from notification import api, metrics
from notification.actions.configure import load_section
from notification.api.dependencies import Dependencies
from notification.api.field_docs import FIELD_DOCS
from notification.clients.mail import MailSender, MailServer
from notification.clients.webhooks import WebhookSender
from notification.clock import DeliveryWorkers
from notification.consumers import Consumers
from notification.model.section import build_section_check
from notification.settings import NotificationSettings
from notification.store.notification_listener import NotificationListener


def wire(kit: ServiceContext, settings: NotificationSettings | None = None) -> ServiceParts:
    """The parts of the service. `settings`: by default from the environment."""
    settings = settings or NotificationSettings()
    policy = UrlPolicy(settings.webhook_allow_loopback, settings.webhook_ports, kit.settings.allow_private_addresses)
    mails = MailSender(_mail_server(settings)) if settings.smtp_host else None
    consumers = Consumers(policy, mail=mails is not None)
    outbound = DeliveryWorkers(
        WebhookSender(policy, timeout_seconds=settings.webhook_timeout_seconds),
        mails,
        lease_seconds=settings.lease_seconds,
        workers=settings.workers,
    )
    return ServiceParts(
        field_docs=FIELD_DOCS,
        router=api.router,
        subscriptions=consumers.subscriptions(),
        due_handlers={"deliver": outbound.on_due},
        background=[outbound.run],
        section=SectionChecker(load_section, build_section_check(policy)),
        state=Dependencies(
            listener=NotificationListener(kit.sessions.engine),
            policy=policy,
            heartbeat_seconds=settings.stream_heartbeat_seconds,
            poll_seconds=settings.stream_poll_seconds,
        ),
    )


def _mail_server(settings: NotificationSettings) -> MailServer:
    assert settings.smtp_host is not None
    return MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        security=settings.smtp_security,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
        sender=settings.smtp_sender,
        timeout_seconds=settings.smtp_timeout_seconds,
    )


service = Service(
    name="notification",
    title="Notification",
    migrations=Migrations("notification", "notification.migrations"),
    wire=wire,
    metrics=metrics.METRICS,
)
