"""The org tree: any depth, several roots, no cycles."""

from collections.abc import Callable, Iterable, Sequence
from uuid import UUID

from contracts.directory import OrgUnitChanged
from servicekit.errors import FieldProblem

from identity.model.fields import is_uuid
from identity.model.specs import OrgUnitPatch, OrgUnitSpec


class OrgTree:
    """The org units of a tenant, by id, slug and name. Units are values: a changed one replaces the one with its id."""

    def __init__(self, units: Iterable[OrgUnitChanged]) -> None:
        self.by_id: dict[UUID, OrgUnitChanged] = {}
        self.by_slug: dict[str, OrgUnitChanged] = {}
        self._by_name: dict[tuple[UUID | None, str], OrgUnitChanged] = {}
        for unit in units:
            self.add(unit)

    def add(self, unit: OrgUnitChanged) -> None:
        """Adds the unit, or replaces the one with its id."""
        before = self.by_id.get(unit.id)
        if before and self.find_child(before.parent_id, before.name) == before:
            del self._by_name[before.parent_id, before.name.casefold()]
        self.by_id[unit.id] = self.by_slug[unit.slug] = unit
        self._by_name[unit.parent_id, unit.name.casefold()] = unit

    def remove(self, unit: OrgUnitChanged) -> None:
        """Removes a unit that has none below it."""
        del self.by_id[unit.id], self.by_slug[unit.slug], self._by_name[unit.parent_id, unit.name.casefold()]

    def find(self, ref: str) -> OrgUnitChanged | None:
        """The unit of this slug or id; None when there is none."""
        return self.by_id.get(UUID(ref)) if is_uuid(ref) else self.by_slug.get(ref)

    def find_child(self, parent_id: UUID | None, name: str) -> OrgUnitChanged | None:
        """The unit of this name, in any case, directly below `parent_id` (None: among the roots)."""
        return self._by_name.get((parent_id, name.casefold()))

    def slugs(self) -> dict[UUID, str]:
        """The slug of each unit by its id."""
        return {unit.id: unit.slug for unit in self.by_id.values()}

    def below(self, unit_id: UUID) -> list[OrgUnitChanged]:
        """The unit and all units below it, parents first."""
        return [unit for unit in self.parents_first() if unit_id in unit.path]

    def parents_first(self) -> list[OrgUnitChanged]:
        """All units, each after its parent."""
        return sorted(self.by_id.values(), key=lambda unit: (len(unit.path), unit.slug))


def apply_units(
    tree: OrgTree, specs: Sequence[tuple[str, str, OrgUnitPatch]], new_id: Callable[[], UUID]
) -> tuple[list[OrgUnitChanged], list[FieldProblem]]:
    """Applies `specs` (pointer, slug, patch) to the tree. Returns the units that changed, those below a moved one included, parents
    first; and the problems. With problems neither the changes nor the tree may be used."""
    problems: list[FieldProblem] = []
    named: dict[str, tuple[str, OrgUnitPatch]] = {}
    for pointer, slug, spec in specs:
        if slug in named:
            problems.append(_problem(f"{pointer}/slug", f"org unit `{slug}` is there twice", "keep one of them"))
        named[slug] = (pointer, spec)
    ids = {slug: tree.by_slug[slug].id if slug in tree.by_slug else new_id() for slug in named}
    before = dict(tree.by_id)

    for slug, (pointer, spec) in named.items():
        set_fields = spec.model_fields_set
        unit = tree.by_slug.get(slug)
        parent_id = unit.parent_id if unit else None
        if "parent" in set_fields:
            parent_id = _parent_id(tree, ids, spec.parent)
            if spec.parent is not None and parent_id is None:
                known = ", ".join(sorted({*named, *tree.by_slug} - {slug})[:8]) or "none yet"
                problems.append(
                    _problem(f"{pointer}/parent", f"there is no org unit `{spec.parent}`", f"one of: {known}")
                )
        if unit is None:
            unit = OrgUnitChanged(id=ids[slug], slug=slug, name=spec.name or slug, path=[ids[slug]])
        if "name" in set_fields and not spec.name:
            problems.append(_problem(f"{pointer}/name", "it is empty", "write a name"))
        changes = {name: getattr(spec, name) for name in ("name", "kind", "time_zone", "active") if name in set_fields}
        tree.add(unit.model_copy(update={**changes, "parent_id": parent_id}))

    problems.extend(_compute_paths(tree, {ids[slug]: pointer for slug, (pointer, _) in named.items()}))
    changed = [unit for unit in tree.parents_first() if before.get(unit.id) != unit]
    return changed, problems


def _parent_id(tree: OrgTree, ids: dict[str, UUID], ref: str | None) -> UUID | None:
    if ref is None:
        return None
    unit = tree.find(ref)
    return unit.id if unit else ids.get(ref)


def _compute_paths(tree: OrgTree, pointers: dict[UUID, str]) -> list[FieldProblem]:
    """Sets the path of every unit. Returns a problem for the first cycle, at the pointer of a unit in it."""
    paths: dict[UUID, list[UUID]] = {}
    problems: list[FieldProblem] = []
    for start in list(tree.by_id.values()):
        trail: list[UUID] = []
        at: UUID | None = start.id
        while at is not None and at not in paths and at not in trail:
            trail.append(at)
            at = tree.by_id[at].parent_id
        if at is not None and at in trail:
            ring = trail[trail.index(at) :]
            names = " → ".join(tree.by_id[each].slug for each in [*ring, ring[0]])
            pointer = next((pointers[each] for each in ring if each in pointers), "")
            problems.append(
                _problem(f"{pointer}/parent", f"it would be below itself: {names}", "choose another parent")
            )
            return problems
        path = paths[at] if at is not None else []
        for unit_id in reversed(trail):
            path = paths[unit_id] = [*path, unit_id]
    for unit in list(tree.by_id.values()):
        if unit.path != paths[unit.id]:
            tree.add(unit.model_copy(update={"path": paths[unit.id]}))
    return problems


def list_unit_changes(specs: Sequence[OrgUnitSpec], pointer: str) -> list[tuple[str, str, OrgUnitPatch]]:
    """The units of a section as `apply_units` takes them; `pointer` is that of their list."""
    return [(f"{pointer}/{index}", spec.slug, spec) for index, spec in enumerate(specs)]


def _problem(pointer: str, problem: str, cure: str) -> FieldProblem:
    return FieldProblem(pointer=pointer, problem=problem, cure=cure)


def find_visible_units(
    tree: OrgTree, *, sees_all: bool, belongs_to: Iterable[UUID], leads: Iterable[UUID]
) -> list[OrgUnitChanged]:
    """The units that somebody may see, parents first. With `sees_all` every unit; otherwise the units they belong to and those they
    lead with all units below, each with the units above it. `belongs_to` and `leads` are ids of units."""
    if sees_all:
        return tree.parents_first()
    led = set(leads)
    own = [unit for unit in tree.by_id.values() if unit.id in set(belongs_to) or not led.isdisjoint(unit.path)]
    ids = {each for unit in own for each in unit.path}
    return [unit for unit in tree.parents_first() if unit.id in ids]
