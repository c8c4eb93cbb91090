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

    def to_topic(self) -> str:
        return f"{self.service}.sections"

    def key(self, tenant: str) -> str:
        return f"{self.type}/{tenant}"


class SectionApplied(_SectionEvent):
    """Sent when a published blueprint was applied (`version` set) and after any later edit of the same things
    (`version` None). `content` is the whole section as it now is, so that a tenant can be exported again."""

    type: ClassVar[str] = "blueprint.section_applied"
    topic: ClassVar[str] = "*.sections"
    example: ClassVar[dict[str, Any]] = {"service": "training", "version": 1, "content": {"templates": [], "rules": []}}

    version: int | None
    content: dict[str, Any]


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
