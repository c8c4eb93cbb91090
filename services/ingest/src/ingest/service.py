"""Ingest: vendor payloads in, canonical legs out."""

from functools import partial

from contracts.blueprints import BlueprintPublished
from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged
from servicekit import Kit, Service, Subscription, Wired
from servicekit.blueprints import names_heard
from servicekit.blueprints.checking import OwnSection
from storage import Migrations

from ingest import api, clock, consumers
from ingest.actions.orders import Quota
from ingest.actions.reception import Reception
from ingest.actions.sources import section
from ingest.api.words import WORDS
from ingest.model.sources import check_section
from ingest.settings import IngestSettings


def wire(kit: Kit) -> Wired:
    reception = Reception(
        documents=kit.documents,
        work=lambda tenant, now: kit.sessions.begin([tenant], now=now),
        secret=kit.settings.secret.encode(),
        quota=Quota(**IngestSettings().model_dump()),
    )
    return Wired(
        words=WORDS,
        router=api.router(),
        subscriptions=[
            Subscription(
                "directory",
                {
                    PersonChanged: partial(consumers.on_person_changed, kit.documents),
                    OrgUnitChanged: partial(consumers.on_org_unit_changed, kit.documents),
                    TenantChanged: partial(consumers.on_tenant_changed, kit.documents),
                },
            ),
            *names_heard("kpi-engine"),
            Subscription("blueprints", {BlueprintPublished: consumers.on_blueprint_published}),
        ],
        clock=clock.handlers(reception),
        state=reception,
        section=OwnSection(section, check_section),
    )


service = Service(name="ingest", title="Ingest", migrations=Migrations("ingest", "ingest.migrations"), wire=wire)
