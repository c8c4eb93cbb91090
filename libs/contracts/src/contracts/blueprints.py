"""Topic `blueprints`, and the answers each service gives on its own `<service>.sections` topic."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from contracts.audit import Origin
from contracts.envelope import Event
from contracts.topics import ServiceName


class BlueprintPublished(Event):
    """A whole tenant as one versioned bundle. Each service applies the section that bears its name. `origin`: who
    published it."""

    type: ClassVar[str] = "blueprint.published"
    topic: ClassVar[str] = "blueprints"
    example: ClassVar[dict[str, Any]] = {
        "version": 1, "sections": {"kpi-engine": {"kpis": []}, "training": {"templates": [], "rules": []}},
    }  # fmt: skip

    version: int
    sections: dict[str, dict[str, Any]]
    origin: Origin | None = None

    def key(self, tenant: str) -> str:
        return tenant


class SectionProblem(BaseModel):
    """Where in the section (a JSON pointer), what is wrong, and what would mend it."""

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
    """A place of a section that names a thing of another service. `inside_of`: where a name only means something inside
    of others, as a band's does, the names of these; none: of any."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    pointer: str
    kind: str
    name: str
    inside_of: list[str] = []


class SectionApplied(_SectionEvent):
    """Sent when a published blueprint was applied (`version` set) and after any later edit of the same things
    (`version` None). `content` is the whole section as it now is, so that a tenant can be exported again; `named` is what
    it names of other services, so that these do not take it away. Null in events from before there was this field."""

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
    """The section was not applied, nothing of it; the problems say why."""

    type: ClassVar[str] = "blueprint.section_rejected"
    topic: ClassVar[str] = "*.sections"
    example: ClassVar[dict[str, Any]] = {
        "service": "training", "version": 1,
        "problems": [{"pointer": "/rules/0/template", "problem": "no template `x`", "cure": "one of: silence-basics"}],
    }  # fmt: skip

    version: int
    problems: list[SectionProblem]
