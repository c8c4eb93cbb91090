"""Any system that writes CSV or NDJSON, by a mapping that is kept as configuration of the source.

time_zone: Europe/Berlin                 # of time stamps without an offset; or {from: tz}, the column that names it
time_format: "%d.%m.%Y %H:%M:%S"         # else ISO 8601; or epoch_s, epoch_ms
fields:
  contact: {from: CallID}                # required; `started` and `channel` too
  started: {from: [Day, Clock]}          # several columns are joined with a space
  channel: {value: voice}                # a constant
  talk_ms: {from: Talk, unit: s, less: [hold_ms]}   # ms | s | min | HH:MM:SS; Talk holds the hold time too
  acw_ms: {start: WrapStart, end: WrapEnd, nulls: ["0"]}   # here, 0 means unknown
  direction: {from: Dir, values: {I: inbound, O: outbound}}
  answered: {from: Answered, true: ["Y"], false: ["N"]}
attributes: {language: {from: customer.language}}   # a JSON path, where no column has the whole name
columns: [CallID, Day, Clock]            # of a CSV file without a header
skip: [{from: CallID, is: [Total]}]      # rows that are no calls
each: parts[role=agent]                  # a JSON record holds several legs, one in each of these

A call that has several rows becomes the legs of one interaction when each has an id of its own and names the call:
`contact: {from: [CallID, Segment]}`, `initial: {from: CallID}`.
"""

from functools import partial
from typing import Any

from ingest.model.connector import Connector, RecordFormat
from ingest.model.field_readers import parse_zone
from ingest.model.generic.columns import check_columns
from ingest.model.generic.mapping import FieldMapping, build_layout, parse_mapping
from ingest.model.generic.reading import read

__all__ = ["CONNECTOR", "FieldMapping", "build_layout", "parse_mapping", "read"]


def _configure(config: dict[str, Any]) -> RecordFormat:
    mapping = parse_mapping(config)
    return RecordFormat(
        read=partial(read, mapping=mapping),
        zone=parse_zone(mapping.zone, "/time_zone"),
        check_columns=partial(check_columns, mapping),
        unstamped_id_column=None if "updated" in mapping.fields else mapping.fields["contact"].column or "contact",
        layout=build_layout(mapping),
    )


CONNECTOR = Connector(
    vendor="generic",
    summary="Any system that writes CSV, NDJSON or JSON, by a mapping of its columns or fields.",
    config=FieldMapping,
    configure=_configure,
    setting="mapping",
)
