"""Topic `<service>.audit`: what each service says of every change of its configuration. Identity keeps it."""

from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.envelope import Event
from contracts.topics import ServiceName


class Actor(BaseModel):
    """Who changes something: a person or a machine client, of this tenant or of `platform`; `system` is a service by
    itself, whose name is `slug`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["person", "machine", "system"]
    tenant: str
    slug: str
    display_name: str
    id: UUID | None = None


class Origin(BaseModel):
    """On whose behalf something is done, and by which request. `blueprint_version`: the actor published it, and a
    service applies its section."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    actor: Actor
    request_id: str | None = None
    blueprint_version: int | None = None


class ConfigurationChanged(Event):
    """`kind` and `ref` name the thing within its service. `before` None: it was not there; `after` None: it is not any
    more; both None: something was done with it. Secrets, addresses and numbers of people are masked in both, and what is
    long is cut, as `notes` say. `changed` are JSON pointers to what differs, also where it is masked or cut."""

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
        return f"{self.service}.audit"

    def key(self, tenant: str) -> str:
        return f"{tenant}|{self.kind}/{self.ref}"
