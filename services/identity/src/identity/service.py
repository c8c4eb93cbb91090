"""Identity: tenants, people, the org tree, roles, blueprints, and what signs on."""

from contracts.blueprints import SectionApplied, SectionRejected
from contracts.topics import TOPICS
from servicekit import Kit, Service, Subscription, Wired
from storage import Migrations

from identity import api, clock, consumers
from identity.actions.sessions import FORGET
from identity.actions.wanting import DUE
from identity.api.access import State
from identity.clients.provider import Provider
from identity.settings import IdentitySettings

_SECTION_TOPICS = [name for name in TOPICS if name.endswith(".sections")]


def provider_of(settings: IdentitySettings) -> Provider | None:
    if settings.keycloak_url is None:
        return None
    secret = settings.keycloak_client_secret.get_secret_value()
    return Provider(settings.keycloak_url, settings.keycloak_realm, settings.keycloak_client_id, secret)


def wire(kit: Kit) -> Wired:
    settings = IdentitySettings()
    provider = provider_of(settings)
    return Wired(
        router=api.router,
        subscriptions=[
            Subscription(
                topic,
                {SectionApplied: consumers.on_section_applied, SectionRejected: consumers.on_section_rejected},
            )
            for topic in _SECTION_TOPICS
        ],
        clock={DUE: clock.telling(provider, kit.settings.login_issuer), FORGET: clock.on_session_dead},
        background=[clock.pick_up] if provider else [],
        state=State(settings.upload_bytes, provider, settings.portal_client_id),
    )


service = Service(
    name="identity", title="Identity", migrations=Migrations("identity", "identity.migrations"), wire=wire
)
