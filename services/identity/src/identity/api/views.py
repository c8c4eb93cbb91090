"""Responses about org units and tenants."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from contracts.directory import OrgUnitChanged
from pydantic import BaseModel

from identity.model.blueprints import SectionState
from identity.model.org import OrgTree


class OrgUnitView(BaseModel):
    """`parent` is a slug; `path` are the ids from the root down to the unit, `org_path` the names."""

    id: UUID
    slug: str
    name: str
    kind: str
    parent: str | None
    path: list[UUID]
    org_path: str
    time_zone: str | None
    active: bool


def to_unit_views(tree: OrgTree, units: Sequence[OrgUnitChanged]) -> list[OrgUnitView]:
    """The views of `units`, which belong to `tree`."""
    return [
        OrgUnitView(
            **unit.model_dump(exclude={"parent_id"}),
            parent=tree.by_id[unit.parent_id].slug if unit.parent_id else None,
            org_path="/".join(tree.by_id[each].name for each in unit.path),
        )
        for unit in units
    ]


class TenantView(BaseModel):
    """`clock` is the own time of a simulated tenant."""

    slug: str
    name: str
    time_zone: str
    day_start_minutes: int
    default_language: str
    active: bool
    simulated: bool
    clock: datetime | None


class BlueprintView(BaseModel):
    """A published version of the blueprint."""

    name: str
    version: int
    published_at: datetime
    published_by: str


class TenantState(TenantView):
    """`blueprint` is the newest that was published; `services` how far each service is with its section of it."""

    blueprint: BlueprintView | None
    services: dict[str, SectionState]
