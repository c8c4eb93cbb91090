"""Generates pages from the code: docs/events.md and docs/asyncapi.json (from `contracts`), docs/metrics.md,
docs/problems.md, docs/roles.md, docs/kpi-functions.md, docs/vendors.md, docs/scaling.md. `--check` lists stale pages, `--write` writes them."""

import argparse
import inspect
import json
import re
import sys
import types
from collections.abc import Callable, Iterator
from datetime import date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from contracts import ALL_SERVICES, TOPICS, Attributes, Event, Topic, type_registry
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema
from servicekit import metrics
from servicekit.problems import PROBLEM_TYPES

from all_in_one.kpi_functions import render_kpi_functions
from all_in_one.roles import render_roles
from all_in_one.scaling_figures import render_scaling
from all_in_one.suite import SERVICES
from all_in_one.vendors import render_vendors

FOLDER = Path(__file__).parents[4] / "docs"

_WORDS: dict[Any, str] = {
    str: "text", int: "integer", float: "number", bool: "true or false", UUID: "UUID", datetime: "timestamp",
    date: "date", Any: "anything", type(None): "null",
}  # fmt: skip

_PREFACE = """\
# Events

<!-- Generated from libs/contracts: `uplift docs --write`. -->

Services tell each other what has happened, never what to do. Every event is a [CloudEvents 1.0](https://cloudevents.io)
message in binary mode: the attributes are headers, the value is JSON.

| header | |
|---|---|
| `ce_id` | UUIDv7 of the event |
| `ce_type` | its type, `noun.past` |
| `ce_source` | `uplift/<service>` |
| `ce_time` | when it happened, in the tenant's time |
| `ce_tenant` | the slug of the tenant it belongs to |
| `ce_correlationid` | the id of the first event of the chain it belongs to |
| `ce_causationid` | the id of the event that it follows from, if any |
| `ce_traceparent`, `ce_tracestate` | where in a trace it was made, if traces are on |

Events with the same key stay in order. An event may arrive twice, so its reader recognises what it has done already. A reader
passes over types and fields that it does not know: a new optional field breaks nobody, any other change is a new type. A
compacted topic keeps the newest event of each key, and a message without a value forgets its key.

The same for programs: [asyncapi.json](asyncapi.json), AsyncAPI 3 with a JSON Schema and an example of every event.

## Topics

| topic | writer | readers | partitions | kept |
|---|---|---|---|---|
"""


def events_of(topic: Topic) -> list[type[Event]]:
    """The event types that a topic carries, in the order of their declaration."""
    return [each for each in type_registry.values() if _carries(topic, each)]


def _carries(topic: Topic, event: type[Event]) -> bool:
    if event.topic.startswith("*"):
        return topic.name.endswith(event.topic[1:])
    return topic.name == event.topic or topic.name.startswith(f"{event.topic}.")


# events.md


def render_events() -> str:
    """The text of docs/events.md."""
    return _PREFACE + "\n".join(_topic_rows()) + "\n" + "".join(_chapters())


def _topic_rows() -> Iterator[str]:
    for topic in TOPICS.values():
        readers = "all" if set(topic.readers) == set(ALL_SERVICES) else ", ".join(topic.readers)
        kept = "for ever" if topic.retention_days is None else f"{topic.retention_days} days"
        kept = "newest of each key" if topic.compacted else kept
        yield f"| `{topic.name}` | {topic.writer} | {readers} | {topic.partitions} | {kept} |"


def _chapters() -> Iterator[str]:
    groups: dict[tuple[type[Event], ...], list[str]] = {}
    for topic in TOPICS.values():
        groups.setdefault(tuple(events_of(topic)), []).append(topic.name)
    for events, topics in groups.items():
        yield f"\n## {', '.join(f'`{name}`' for name in topics)}\n"
        for event in events:
            yield from _event(event)


def _event(event: type[Event]) -> Iterator[str]:
    example = event.model_validate(event.example)
    yield f"\n### `{event.type}`\n\n{description(event)}\n\nKey: `{key_pattern(example)}`\n\n"
    yield "| field | type | when absent |\n|---|---|---|\n"
    yield from _field_rows(event)
    for model in _models_in(event):
        yield f"\n`{model.__name__}`{': ' + _own_docstring(model) if _own_docstring(model) else ''}\n\n"
        yield "| field | type | when absent |\n|---|---|---|\n"
        yield from _field_rows(model)
    shown = json.dumps(example.model_dump(mode="json"), indent=2, ensure_ascii=False)
    yield f"\n<details><summary>Example</summary>\n\n```json\n{shown}\n```\n\n</details>\n"


def description(model: type[BaseModel]) -> str:
    """The docstrings of an event and of the base events it inherits fields from."""
    lineage = [each for each in model.__mro__ if issubclass(each, Event) and each.__module__ != Event.__module__]
    return "\n\n".join(words for each in lineage if (words := _own_docstring(each)))


def _own_docstring(model: type[BaseModel]) -> str:
    return re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(model.__dict__.get("__doc__") or ""))


def key_pattern(example: Event) -> str:
    """The event's key, with names of fields instead of values."""
    names = {name: f"<{name}>" for name, value in example if isinstance(value, str | UUID)}
    return example.model_copy(update=names).key("<tenant>")


def _field_rows(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        absent = "" if field.is_required() else f"`{json.dumps(field.get_default(call_default_factory=True))}`"
        told = (
            describe_type(Annotated[field.annotation, field])
            if field.json_schema_extra
            else describe_type(field.annotation)
        )
        yield f"| `{name}` | {told} | {absent} |\n"


def describe_type(annotation: Any) -> str:
    """A type in words, e.g. `list of UUID`, `text or null`. Raises KeyError for a type without words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(describe_type(each) for each in arguments)
    if origin is Annotated:
        extra = next((each.json_schema_extra for each in arguments[1:] if hasattr(each, "json_schema_extra")), None)
        values = extra.get("enum", ()) if isinstance(extra, dict) else ()
        return " or ".join(f"`{each}`" for each in values) or describe_type(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{each}`" for each in arguments)
    if origin is list:
        return f"list of {describe_type(arguments[0])}"
    if origin is tuple:
        return f"[{', '.join(describe_type(each) for each in arguments)}]"
    if origin is dict:
        return f"map of {describe_type(arguments[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"`{annotation.__name__}`"
    return _WORDS[annotation]


def _models_in(model: type[BaseModel]) -> list[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {}

    def look(annotation: Any) -> None:
        if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
            found.setdefault(annotation)
        for each in get_args(annotation):
            look(each)

    for field in model.model_fields.values():
        look(field.annotation)
    return list(found)


# asyncapi.json


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI 3 document. Channels are topics; operations are what each service sends and receives."""
    _, whole = models_json_schema(
        [(each, "validation") for each in type_registry.values()],
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Any] = whole["$defs"]
    attributes = TypeAdapter(Attributes).json_schema()
    schemas["Headers"] = {
        "type": "object",
        "description": "The CloudEvents attributes, as headers of the message.",
        "properties": {
            "ce_specversion": {"const": "1.0"},
            **{f"ce_{name}": each for name, each in attributes["properties"].items()},
        },
        "required": ["ce_specversion", *(f"ce_{name}" for name in attributes["required"])],
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Uplift",
            "version": version("uplift-contracts"),
            "description": "What the services of Uplift tell each other. Generated from libs/contracts.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in TOPICS.values()},
        "operations": dict(_operations()),
        "components": {
            "messages": {each.type: _message(each) for each in type_registry.values()},
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _channel(topic: Topic) -> dict[str, Any]:
    kept = "all, for ever" if topic.retention_days is None else f"{topic.retention_days} days"
    kept = "the newest of each key" if topic.compacted else kept
    return {
        "address": topic.name,
        "description": f"Written by {topic.writer}. {topic.partitions} partitions; kept: {kept}.",
        "messages": {each.type: {"$ref": f"#/components/messages/{each.type}"} for each in events_of(topic)},
    }


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for topic in TOPICS.values():
        channel = {"$ref": f"#/channels/{topic.name}"}
        yield f"{topic.writer}.sends.{topic.name}", {"action": "send", "channel": channel}
        for reader in topic.readers:
            yield f"{reader}.receives.{topic.name}", {"action": "receive", "channel": channel}


def _message(event: type[Event]) -> dict[str, Any]:
    example = event.model_validate(event.example)
    return {
        "name": event.type,
        "title": event.type,
        "description": f"{description(event)}\n\nKey: {key_pattern(example)}",
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
        "examples": [{"name": "example", "payload": example.model_dump(mode="json")}],
    }


def render_asyncapi() -> str:
    """The text of docs/asyncapi.json."""
    return json.dumps(asyncapi(), indent=1, ensure_ascii=False) + "\n"


# metrics.md

_METRICS = """\
# Metrics

<!-- Generated from `metrics.py` of servicekit and of each service: `uplift docs --write`. -->

Every process answers them on `/metrics`. No label grows with customers: there is no tenant and no person among them. What
they are good for: [guides/observe.md](guides/observe.md). Beside them stand `process_*` and `python_*` of the client
library. A histogram has the series `_bucket`, `_sum` and `_count`.

| metric | type | labels | |
|---|---|---|---|
"""


def render_metrics() -> str:
    """The text of docs/metrics.md."""
    return _METRICS + "\n".join(_metric_rows()) + "\n"


def list_all_metrics() -> list[MetricWrapperBase]:
    """The metrics of every service, then those of one service only."""
    return [*metrics.list_metrics(), *(each for service in SERVICES for each in service.metrics)]


def _metric_rows() -> Iterator[str]:
    for each in list_all_metrics():
        (described,) = each.describe()
        name = f"{described.name}_total" if described.type == "counter" else described.name
        labels = ", ".join(f"`{label}`" for label in metrics.labels_of(each))
        yield f"| `{name}` | {described.type} | {labels} | {described.documentation} |"


# problems.md

_PROBLEMS = """\
# Problems

<!-- Generated from libs/servicekit/src/servicekit/problems.py: `uplift docs --write`. -->

Whatever is refused is answered with a problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), media type
`application/problem+json`. Its `type` is `urn:uplift:problem:` and one of the names below, which stay as they are; programs
go by them. `title` and `detail` are for people and may change. `errors` names every place that is wrong: a JSON `pointer`,
the `problem`, the `cure`, and `line` and `column` in a document that was sent. An unknown path, or a method that a path does
not take, has the type `about:blank`.

| type | status | what to do |
|---|---|---|
"""


def render_problems() -> str:
    """The text of docs/problems.md."""
    rows = [
        f"| `{slug}` | {', '.join(map(str, each.statuses))} | {each.cure} |" for slug, each in PROBLEM_TYPES.items()
    ]
    return _PROBLEMS + "\n".join(rows) + "\n"


# Files

PAGES: dict[str, Callable[[], str]] = {
    "events.md": render_events,
    "asyncapi.json": render_asyncapi,
    "metrics.md": render_metrics,
    "roles.md": render_roles,
    "problems.md": render_problems,
    "kpi-functions.md": render_kpi_functions,
    "vendors.md": render_vendors,
    "scaling.md": render_scaling,
}


def find_stale_pages(folder: Path = FOLDER) -> list[str]:
    """The names of the pages that differ from what the code generates."""
    return [name for name, render in PAGES.items() if not _is(folder / name, render())]


def _is(path: Path, content: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == content


def write_pages(folder: Path = FOLDER) -> list[str]:
    """Writes the stale pages. Returns their names."""
    changed = find_stale_pages(folder)
    for name in changed:
        (folder / name).write_text(PAGES[name](), encoding="utf-8")
    return changed


def main(arguments: list[str] | None = None) -> int:
    """Checks (`--check`) or writes (`--write`) the pages. Returns the exit status: 1 when a page is stale."""
    parser = argparse.ArgumentParser(prog="python -m all_in_one.docs", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail when a page is out of date")
    what.add_argument("--write", action="store_true", help="make the pages that are out of date")
    if parser.parse_args(arguments).write:
        print("\n".join(f"docs/{name}" for name in write_pages()) or "Nothing to do.")
        return 0
    found = find_stale_pages()
    for name in found:
        print(f"docs/{name} is out of date: run `uplift docs --write`.", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
