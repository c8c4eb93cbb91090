"""Identity: tenants, people, the org tree, roles, blueprints, single sign-on, and the audit log."""

from servicekit import Service, ServiceContext, ServiceParts
from servicekit.outbound import OutboundClient, UrlPolicy
from storage import Migrations

from identity import api, clock, consumers
from identity.actions.desired_state import RECONCILE_KIND
from identity.actions.feature_flags import WATCH_FLAGS_KIND
from identity.actions.sessions import FORGET_SESSION_KIND
from identity.api.access import State
from identity.api.field_docs import FIELD_DOCS
from identity.clients.embedded import EmbeddedProvider
from identity.clients.keycloak import KeycloakProvider
from identity.clients.provider import Provider
from identity.clients.sections import SectionCheckClient
from identity.settings import IdentitySettings

_LOOKUP_SECONDS = 5


def create_provider(settings: IdentitySettings) -> Provider | None:
    """The login provider that the settings name; None: accounts and applications are managed elsewhere."""
    if settings.embedded_url is not None:
        return EmbeddedProvider(
            settings.embedded_url, settings.embedded_client_id, settings.embedded_client_secret.get_secret_value()
        )
    if settings.keycloak_url is not None:
        secret = settings.keycloak_client_secret.get_secret_value()
        return KeycloakProvider(settings.keycloak_url, settings.keycloak_client_id, secret, settings.keycloak_realm)
    return None


def wire(kit: ServiceContext, settings: IdentitySettings | None = None) -> ServiceParts:
    """The parts of the service. `settings` None: those of the environment."""
    settings = settings or IdentitySettings()
    provider = create_provider(settings)
    policy = UrlPolicy(allow_private=kit.settings.allow_private_addresses)
    outbound = None if policy.allow_private else OutboundClient(policy, timeout_seconds=_LOOKUP_SECONDS)
    sections = SectionCheckClient(kit.http, settings.services_url) if settings.services_url else None
    return ServiceParts(
        field_docs=FIELD_DOCS,
        router=api.router,
        subscriptions=consumers.subscriptions(),
        due_handlers={
            RECONCILE_KIND: clock.make_reconcile_handler(provider, kit.settings.login_issuer, outbound),
            FORGET_SESSION_KIND: clock.on_session_expired,
            WATCH_FLAGS_KIND: clock.make_flag_handler(kit.flags),
        },
        background=[
            *([clock.resume_reconciling] if provider else []),
            *([clock.watch_feature_flags] if kit.settings.feature_flags_file else []),
        ],
        state=State(settings.upload_bytes, provider, settings.portal_client_id, policy, sections),
    )


service = Service(
    name="identity", title="Identity", migrations=Migrations("identity", "identity.migrations"), wire=wire
)
