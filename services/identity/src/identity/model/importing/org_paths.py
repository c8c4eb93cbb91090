"""Paths of org units, such as `Site A/Team 1`, and the units to create for them."""

from collections.abc import Callable
from uuid import UUID

from contracts import derived_id
from contracts.directory import OrgUnitChanged
from pydantic import ValidationError

from identity.model.fields import to_field_problems
from identity.model.importing.cells import LineRejected, slugify
from identity.model.org import OrgTree
from identity.model.specs import OrgUnitSpec

MAX_DEPTH = 60
LEAF_KIND, BRANCH_KIND = "team", "unit"


def resolve_unit_path(
    tree: OrgTree, path: str, new_id: Callable[[], UUID]
) -> tuple[list[OrgUnitChanged], OrgUnitChanged]:
    """The units to create for the path, parents first, and the unit at its end. The tree is not changed. Raises LineRejected for an
    empty path, one that is too deep, and for bad names."""
    names = [" ".join(name.split()) for name in path.split("/") if name.strip()]
    if len(names) > MAX_DEPTH:
        raise LineRejected("org_path", path, f"it names {len(names):,} units", f"write {MAX_DEPTH} at most")
    if not names:
        raise LineRejected("org_path", path, "it names no unit", "write it as Site A/Team 1")
    made: list[OrgUnitChanged] = []
    parent: OrgUnitChanged | None = None
    for depth, name in enumerate(names):
        unit = tree.find_child(parent.id if parent else None, name) if not made else None
        # A path of one name may also be the slug of a unit anywhere in the tree.
        if unit is None and len(names) == 1:
            unit = tree.by_slug.get(name)
        if unit is None:
            unit = _new_unit(tree, name, parent, LEAF_KIND if depth == len(names) - 1 else BRANCH_KIND, made, new_id)
            made.append(unit)
        parent = unit
    assert parent is not None
    return made, parent


def _new_unit(
    tree: OrgTree,
    name: str,
    parent: OrgUnitChanged | None,
    kind: str,
    made: list[OrgUnitChanged],
    new_id: Callable[[], UUID],
) -> OrgUnitChanged:
    beside = {unit.slug for unit in made}
    plain = slugify(name) or f"unit-{derived_id(parent.slug if parent else '', name).hex[:8]}"
    choices = [plain, f"{parent.slug}-{plain}"[:63]] if parent else [plain]
    slug = next((each for each in choices if each not in tree.by_slug and each not in beside), None)
    slug = slug or f"{plain[:50]}-{derived_id(parent.slug if parent else '', name).hex[:8]}"
    try:
        OrgUnitSpec(slug=slug, name=name)
    except ValidationError as error:
        raise LineRejected(
            "org_path", name, to_field_problems(error)[0].problem, "write it as Site A/Team 1"
        ) from error
    unit_id = new_id()
    path = [*(parent.path if parent else []), unit_id]
    return OrgUnitChanged(
        id=unit_id, slug=slug, name=name, kind=kind, parent_id=parent.id if parent else None, path=path
    )


def format_org_path(tree: OrgTree, unit: OrgUnitChanged) -> str:
    """The names from the root down to the unit, separated by slashes."""
    return "/".join(tree.by_id[each].name for each in unit.path)
