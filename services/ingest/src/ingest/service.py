"""Ingest: vendor payloads in, canonical legs out."""

from servicekit import Service, ServiceContext, ServiceParts
from servicekit.blueprints.checking import SectionChecker
from storage import Migrations

from ingest import api, clock, consumers, metrics
from ingest.actions.sources import export_section
from ingest.actions.upload_service import UploadService
from ingest.actions.uploads import Quota
from ingest.api.field_docs import FIELD_DOCS
from ingest.model.sources import check_section
from ingest.settings import IngestSettings


def wire(kit: ServiceContext) -> ServiceParts:
    """Builds the parts of the service."""
    upload_service = UploadService(
        documents=kit.documents,
        begin_session=lambda tenant, now: kit.sessions.begin([tenant], now=now),
        secret=kit.settings.secret.encode(),
        quota=Quota(**IngestSettings().model_dump()),
    )
    return ServiceParts(
        field_docs=FIELD_DOCS,
        router=api.router(),
        subscriptions=consumers.subscriptions(kit.documents),
        due_handlers=clock.handlers(upload_service),
        state=upload_service,
        section=SectionChecker(export_section, check_section),
    )


service = Service(
    name="ingest",
    title="Ingest",
    migrations=Migrations("ingest", "ingest.migrations"),
    wire=wire,
    metrics=metrics.METRICS,
    count_published=metrics.count_published,
)
