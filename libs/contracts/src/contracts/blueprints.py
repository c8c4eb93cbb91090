"""Topic `blueprints`: identity publishes a tenant's blueprint. Each service answers on its topic `<service>.sections`."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from contracts.audit import Origin
from contracts.envelope import Event
from contracts.topics import ServiceName


class BlueprintPublished(Event):
    """A blueprint, which is a whole tenant as one versioned bundle, was published. Each service applies the section that
    has its name. `origin` says who published it."""

    type: ClassVar[str] = "blueprint.published"
    topic: ClassVar[str] = "blueprints"
    example: ClassVar[dict[str, Any]] = {
        "version": 1, "sections": {"kpi-engine": {"kpis": []}, "training": {"templates": [], "rules": []}},
    }  # fmt: skip

    version: int
    sections: dict[str, dict[str, Any]]
    origin: Origin | None = None

    def key(self, tenant: str) -> str:
        """The tenant: its blueprints stay in order."""
        return tenant


class SectionProblem(BaseModel):
    """What is wrong at a place of the section (a JSON pointer), and how to correct it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pointer: str
    problem: str
    cure: str = ""


class _SectionEvent(Event):
    service: ServiceName

    def target_topic(self) -> str:
        return f"{self.service}.sections"

    def key(self, tenant: str) -> str:
        return f"{self.type}/{tenant}"


class Named(BaseModel):
    """A place of a section that names a thing of another service. A band, a question or an attribute has its name within
    a KPI, a form or a source: `inside_of` names the ones that are meant, and is empty where any of them is."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pointer: str
    kind: str
    name: str
    inside_of: list[str] = []


class SectionApplied(_SectionEvent):
    """A service's section is now `content`. `version` is the blueprint's version where a blueprint was applied, and None
    after a later edit of the same things.

    `content` is the whole section, so that a tenant can be exported. `named` lists the things of other services that it
    names, so that those services refuse to delete them. It is null in events from before there was this field.
    """

    type: ClassVar[str] = "blueprint.section_applied"
    topic: ClassVar[str] = "*.sections"
    example: ClassVar[dict[str, Any]] = {
        "service": "training", "version": 1, "content": {"templates": [], "rules": []},
        "named": [{"pointer": "/rules/0/kpi", "kind": "KPI", "name": "silence_pct", "inside_of": []}],
    }  # fmt: skip

    version: int | None
    content: dict[str, Any]
    named: list[Named] | None = None


class SectionRejected(_SectionEvent):
    """A service refused its section and applied nothing of it. `problems` say why."""

    type: ClassVar[str] = "blueprint.section_rejected"
    topic: ClassVar[str] = "*.sections"
    example: ClassVar[dict[str, Any]] = {
        "service": "training", "version": 1,
        "problems": [{"pointer": "/rules/0/template", "problem": "no template `x`", "cure": "one of: silence-basics"}],
    }  # fmt: skip

    version: int
    problems: list[SectionProblem]
