"""A connector is a module, an entry of the registry and a test: nothing else knows the vendors by name."""

import re
from pathlib import Path
from typing import Any, get_args

import ingest
import pytest
from ingest.model import registry
from ingest.model.connector import Connector, RecordFormat
from ingest.model.field_readers import ReadContext
from ingest.model.parts import Contact, Part
from ingest.model.refusal import Refusal
from ingest.model.registry import CONNECTORS
from ingest.model.sources import SourceSpec, build_source
from msgspec import Struct, convert

SOURCES = Path(ingest.__file__).parent


class ToyOptions(Struct, forbid_unknown_fields=True):
    channel: str = "voice"


def configure(config: dict[str, Any]) -> RecordFormat:
    options = convert(config, ToyOptions)

    def read(record: dict[str, Any], reading: ReadContext) -> Part:
        return Part(
            kind="contact", contact=record["id"], facts=Contact(started=reading.now_ms, channel=options.channel)
        )

    return RecordFormat(read)


@pytest.mark.parametrize("vendor", CONNECTORS)
def test_only_its_own_module_and_the_registry_name_a_vendor(vendor: str) -> None:
    module = vendor.replace("-", "_")
    named = re.compile(rf"\b({re.escape(vendor)}|ingest\.model\.{module})\b")
    own = {SOURCES / "model" / "registry.py", *(SOURCES / "model" / module).rglob("*.py")}
    others = [path for path in SOURCES.rglob("*.py") if path not in own and "migrations" not in path.parts]
    code = {
        path: re.sub(r"""\"{3}.*?\"{3}|#.*""", "", path.read_text(encoding="utf-8"), flags=re.DOTALL) for path in others
    }
    assert [path.name for path in others if named.search(code[path])] == []
    assert (SOURCES / "model" / module).is_dir()


def test_the_choices_of_the_api_are_the_registry() -> None:
    assert get_args(registry.Vendor) == tuple(CONNECTORS)
    assert SourceSpec.model_json_schema()["properties"]["vendor"]["enum"] == list(CONNECTORS)


def test_a_source_of_a_new_vendor_reads_its_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CONNECTORS, "toy", Connector("toy", "Toy calls.", ToyOptions, configure))
    source = build_source("toys", SourceSpec.model_construct(vendor="toy", options={"channel": "chat"}))
    part = source.format.read({"id": "c-1"}, source.reading(7, b"secret"))
    assert isinstance(part, Part)
    assert part.facts == Contact(started=7, channel="chat")
    with pytest.raises(Refusal, match="of vendor toy, whose records are JSON; this is CSV with `a`, `b`"):
        source.check_columns(["a", "b"], ",")
    with pytest.raises(Refusal, match="Only a generic source has a mapping"):
        build_source("toys", SourceSpec.model_construct(vendor="toy", mapping={}))
