"""Topic `<service>.audit`: each service publishes every change of its configuration, and identity stores them."""

from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.envelope import Event
from contracts.topics import ServiceName


class Actor(BaseModel):
    """Who changes something: a person or a machine client, of this tenant or of tenant `platform`. `system` is a service
    that acts by itself; `slug` is its name then."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["person", "machine", "system"]
    tenant: str
    slug: str
    display_name: str
    id: UUID | None = None


class Origin(BaseModel):
    """On whose behalf something is done, and by which request. `blueprint_version` is set where a service applies its
    section of a blueprint; `actor` published that blueprint."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    actor: Actor
    request_id: str | None = None
    blueprint_version: int | None = None


class ConfigurationChanged(Event):
    """Something that a tenant configures was created, changed or deleted, or an action was carried out on it. `kind` and
    `ref` name it within its service.

    `before` is None when it was created, `after` is None when it was deleted. Both are None for an action that leaves its
    configuration as it was. Secrets, addresses and numbers of people are masked in both, and long values are cut; `notes`
    say where. `changed` holds JSON pointers to what differs, also to values that are masked or cut.
    """

    type: ClassVar[str] = "configuration.changed"
    topic: ClassVar[str] = "*.audit"
    example: ClassVar[dict[str, Any]] = {
        "service": "gamification", "kind": "rule", "ref": "finished", "action": "updated",
        "origin": {
            "actor": {
                "kind": "person", "tenant": "demo", "slug": "boss", "display_name": "The Boss",
                "id": "0197c0de-0000-7000-8000-000000000003",
            },
            "request_id": "0197c0de-0000-7000-8000-000000000700", "blueprint_version": None,
        },
        "before": {"rule": "finished", "points": 50}, "after": {"rule": "finished", "points": 60},
        "changed": ["/points"], "notes": [],
    }  # fmt: skip

    service: ServiceName
    kind: str
    ref: str
    action: str
    origin: Origin
    before: Any = None
    after: Any = None
    changed: list[str] = []
    notes: list[str] = []

    def target_topic(self) -> str:
        """The audit topic of the service whose configuration changed."""
        return f"{self.service}.audit"

    def key(self, tenant: str) -> str:
        """`<tenant>|<kind>/<ref>`: the changes of one thing stay in order."""
        return f"{tenant}|{self.kind}/{self.ref}"
