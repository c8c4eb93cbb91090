"""What a service gives the tests of all services, in `services/<name>/tests/examples.yaml`: requests, and a blueprint section.

`make new` writes the file. Services that lack it have their examples in tests/hostile and tests/flow.
"""

from dataclasses import dataclass, field
from typing import Any

import yaml
from contracts import ALL_SERVICES

from tests.architecture.files import ROOT


@dataclass(frozen=True)
class Examples:
    """`names`: values of path parameters. `set_up`: requests (method, path, body) that make the things of these names.
    `writes`: a request for each write, in an order in which each finds what it needs: the route's method and path, and a
    body. `twice`: for a route, two different changes of its body. `section`: a blueprint section that changes what `set_up` made.
    `changes`: kind, ref and action of each entry of the audit log that applying `section` then leaves."""

    names: dict[str, str] = field(default_factory=dict[str, str])
    set_up: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    writes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    twice: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])
    section: dict[str, Any] = field(default_factory=dict[str, Any])
    changes: list[list[str]] = field(default_factory=list[list[str]])


def qualify(service: str, route: str) -> str:
    """`PUT /items/{item}` as tests name it: `PUT shift-plans/items/{item}`."""
    method, _, path = route.partition(" ")
    return f"{method} {service}{path}"


EXAMPLES = {
    service: Examples(**yaml.safe_load(path.read_text(encoding="utf-8")))
    for service in ALL_SERVICES
    if (path := ROOT / "services" / service / "tests" / "examples.yaml").exists()
}
NAMES = {f"{service}/{name}": value for service, each in EXAMPLES.items() for name, value in each.names.items()}
SECTIONS = {service: each.section for service, each in EXAMPLES.items()}
