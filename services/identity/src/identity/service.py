"""Identity: tenants, people, the org tree, roles, blueprints."""

from contracts.blueprints import SectionApplied, SectionRejected
from contracts.topics import TOPICS
from servicekit import Kit, Service, Subscription, Wired
from storage import Migrations

from identity import api, consumers
from identity.api.access import Limits
from identity.settings import IdentitySettings

_SECTION_TOPICS = [name for name in TOPICS if name.endswith(".sections")]


def wire(kit: Kit) -> Wired:
    return Wired(
        router=api.router,
        subscriptions=[
            Subscription(
                topic,
                {SectionApplied: consumers.on_section_applied, SectionRejected: consumers.on_section_rejected},
            )
            for topic in _SECTION_TOPICS
        ],
        state=Limits(IdentitySettings().upload_bytes),
    )


service = Service(
    name="identity", title="Identity", migrations=Migrations("identity", "identity.migrations"), wire=wire
)
