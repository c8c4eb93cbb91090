"""The seven services."""

from collections.abc import Sequence

from forms.service import service as forms
from gamification.service import service as gamification
from identity.service import service as identity
from ingest.service import service as ingest
from kpi_engine.service import service as kpi_engine
from notification.service import service as notification
from servicekit import Service
from training.service import service as training

SERVICES: Sequence[Service] = (identity, ingest, kpi_engine, training, gamification, forms, notification)
