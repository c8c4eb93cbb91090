"""Amazon Connect: contact records, Contact Lens analyses, contact events and agent events, recognised by their fields."""

from functools import partial
from typing import Any

from ingest.model.amazon_connect.records import EVENTS, Options, read
from ingest.model.config_errors import convert_config
from ingest.model.connector import Connector, RecordFormat
from ingest.model.field_readers import parse_zone

__all__ = ["CONNECTOR", "Options", "read"]


def _configure(config: dict[str, Any]) -> RecordFormat:
    options = convert_config(config, Options)
    zone = parse_zone(options.time_zone, "/time_zone")
    return RecordFormat(partial(read, options=options), zone, open_without_end=True)


CONNECTOR = Connector(
    vendor="amazon-connect",
    summary="Amazon Connect's contact records, Contact Lens analyses, contact events and agent events, as JSON.",
    config=Options,
    configure=_configure,
    events=frozenset(EVENTS),
)
