"""Closed schemas of Kubernetes and of custom resources, which need no cluster."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml
from testkit.programs.helm import KUBE_VERSION

from tests.charts.objects import Object

KUBERNETES = KUBE_VERSION.rpartition(".")[0]
Schemas = dict[tuple[str, str], Object]
"""By apiVersion and kind."""


def load_schemas(folders: Iterable[Path]) -> Schemas:
    """Of the definitions in the files of these folders."""
    found: Schemas = {}
    for file in (file for folder in folders for file in folder.iterdir()):
        for definition in yaml.safe_load_all(file.read_text()):
            spec = definition["spec"]
            for version in spec["versions"]:
                key = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                found[key] = _closed(version["schema"]["openAPIV3Schema"])
    return found


def validate_object(each: Object, schemas: Schemas) -> None:
    """Raises a ValidationError of jsonschema or kubernetes_validate. No kind is passed over: each is Kubernetes' own or has a
    definition."""
    of = schemas.get((each["apiVersion"], each["kind"]))
    if of is None:
        kubernetes_validate.validate(each, KUBERNETES, strict=True)
    else:
        jsonschema.Draft7Validator(of).validate(each)


def _closed(schema: Any) -> Any:
    """An API server prunes unknown fields; here they are errors. Its own words become JSON Schema's."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.pop("x-kubernetes-int-or-string", None):
        closed["type"] = ["integer", "string"]
    known = closed.get("properties")
    is_open = closed.get("x-kubernetes-preserve-unknown-fields")
    if isinstance(known, dict) and closed.get("type") == "object" and known.keys() != {"metadata"} and not is_open:
        closed.setdefault("additionalProperties", False)
        if {"apiVersion", "kind"} <= known.keys():
            known["metadata"] = {"type": "object"}
    return closed
