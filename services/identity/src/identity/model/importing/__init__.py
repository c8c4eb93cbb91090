"""The import of people from a sheet, line by line: a rejected line does not affect the others.

A line states how a person is from `valid_from` on (left out: from today, or always when nothing is known yet). An empty
cell changes nothing. `org_path` (`Site A/Team 1`) is the person's unit: memberships in other units of the same kind, or of
the kinds that an import creates, end. Missing units are created.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from contracts import derived_id, new_id
from contracts.directory import Login, OrgUnitChanged, PersonChanged

from identity.model.importing.cells import LineRejected, parse_day, parse_person_cells, slugify, to_line_rejected
from identity.model.importing.changes import (
    EffectiveDate,
    with_attributes,
    with_external_ids,
    with_login,
    with_membership,
    with_roles,
)
from identity.model.importing.org_paths import format_org_path, resolve_unit_path
from identity.model.importing.report import ImportedLine, ImportReport
from identity.model.importing.sheet import RejectedLine, Sheet, SheetLine, read_sheet
from identity.model.org import OrgTree
from identity.model.people import NO_PROVIDER_LOGINS, OwnershipIndex, ProviderLogins, find_person_problems, merge_person

__all__ = ["ImportPlan", "ImportReport", "plan_import", "read_and_plan", "read_sheet"]


@dataclass
class ImportPlan:
    """The report, and what is to be stored: new units, parents first, and changed people by id."""

    report: ImportReport
    units: list[OrgUnitChanged] = field(default_factory=list)
    people: dict[UUID, PersonChanged] = field(default_factory=dict)


def read_and_plan(
    data: bytes,
    people: Sequence[PersonChanged],
    units: Sequence[OrgUnitChanged],
    tenant: str,
    day: date,
    issuer: str,
    provider_logins: ProviderLogins,
) -> ImportPlan:
    """Reads the file and plans its import; for a worker process, since the time depends on the file. `day` is the tenant's today.
    Raises Invalid for a file that cannot be read at all."""
    tree, sheet = OrgTree(units), read_sheet(data)
    return plan_import(
        sheet,
        people=people,
        tree=tree,
        tenant=tenant,
        day=day,
        issuer=issuer,
        new_id=new_id,
        provider_logins=provider_logins,
    )


def plan_import(
    sheet: Sheet,
    *,
    people: Sequence[PersonChanged],
    tree: OrgTree,
    tenant: str,
    day: date,
    issuer: str,
    new_id: Callable[[], UUID],
    provider_logins: ProviderLogins = NO_PROVIDER_LOGINS,
) -> ImportPlan:
    """Plans the import of the sheet. New units are added to `tree`. `issuer`: the `iss` of the column `login`."""
    report = ImportReport(
        lines=len(sheet.lines) + len(sheet.rejected), rejected=list(sheet.rejected), ignored_columns=sheet.ignored
    )
    by_email: dict[str, PersonChanged] = {}
    for person in people:
        if person.email:
            by_email.setdefault(person.email.casefold(), person)
    by_slug = {person.slug: person for person in people}
    run = _Import(
        tree,
        tenant,
        day,
        issuer,
        new_id,
        by_slug,
        by_email,
        OwnershipIndex(people, provider_logins),
        ImportPlan(report),
    )
    for line in sheet.lines:
        try:
            run.import_line(line)
        except LineRejected as reject:
            report.rejected.append(RejectedLine(line=line.number, **reject.rejection))
    report.rejected.sort(key=lambda each: each.line)
    return run.plan


@dataclass
class _Import:
    tree: OrgTree
    tenant: str
    day: date
    issuer: str
    new_id: Callable[[], UUID]
    by_slug: dict[str, PersonChanged]
    by_email: dict[str, PersonChanged]
    ownership: OwnershipIndex
    plan: ImportPlan
    line_by_person: dict[UUID, int] = field(default_factory=dict)
    """The line about each person, by id."""
    numbered: dict[str, int] = field(default_factory=dict)
    """The last number tried for each slug that was taken, so that many namesakes are not quadratic."""

    def import_line(self, line: SheetLine) -> None:
        cells = line.cells
        before = self._find_person(cells)
        slug = before.slug if before else self._new_slug(cells)
        spec = parse_person_cells(cells, slug)
        if before is None and not spec.display_name:
            raise LineRejected("display_name", "", "a new person needs a name", "fill the column display_name")
        person, _ = merge_person(
            spec,
            before,
            slug=slug,
            person_id=before.id if before else self.new_id(),
            tree=self.tree,
            issuer=self.issuer,
            at="",
        )
        moment = EffectiveDate(self.day, parse_day(cells, "valid_from"))
        new_units, unit = (
            resolve_unit_path(self.tree, cells["org_path"], self.new_id) if "org_path" in cells else ([], None)
        )
        if "login" in cells:
            person = with_login(person, cells["login"], self.issuer)
        if unit:
            person = with_membership(person, unit, self.tree, moment)
        if "roles" in cells:
            person = with_roles(person, cells["roles"], unit, moment)
        person = with_external_ids(person, cells, moment)
        person = with_attributes(person, cells, moment)
        for each in new_units:
            self.tree.add(each)
        problems = find_person_problems(person, tree=self.tree, tenant=self.tenant, day=self.day, at="")
        problems += self.ownership.find_problems(person, "")
        if problems:
            for each in reversed(new_units):
                self.tree.remove(each)
            raise to_line_rejected(problems[0], person, cells)
        self._add_to_plan(line, before, person, new_units)

    def _add_to_plan(
        self, line: SheetLine, before: PersonChanged | None, person: PersonChanged, new_units: list[OrgUnitChanged]
    ) -> None:
        report = self.plan.report
        self.plan.units.extend(new_units)
        report.org_units_created.extend(format_org_path(self.tree, each) for each in new_units)
        self.line_by_person[person.id] = line.number
        if before == person:
            report.unchanged += 1
            return
        if before:
            self.ownership.remove(before)
        self.ownership.add(person)
        self.by_slug[person.slug] = person
        if person.email:
            self.by_email[person.email.casefold()] = person
        self.plan.people[person.id] = person
        entry = ImportedLine(line=line.number, slug=person.slug)
        if before is None:
            report.created.append(entry)
        else:
            old, new = before.model_dump(), person.model_dump()
            entry.fields.extend(sorted(name for name in new if new[name] != old[name]))
            report.changed.append(entry)

    def _find_person(self, cells: dict[str, str]) -> PersonChanged | None:
        """The existing person that the line is about; None: a new one. The most specific column decides: slug, external id, login,
        email. Raises LineRejected."""
        found: PersonChanged | None = None
        if "slug" in cells:
            found = self.by_slug.get(cells["slug"])
        else:
            claims = [
                *(
                    self.ownership.find_by_external_id(name.partition(":")[2], value, self.day)
                    for name, value in cells.items()
                    if name.startswith("external_id:")
                ),
                self.ownership.find_by_login(Login(iss=self.issuer, sub=cells["login"])) if "login" in cells else None,
                self.by_email.get(cells["email"].casefold()) if "email" in cells else None,
            ]
            found = next((claim for claim in claims if claim), None)
            if found is None and not any(
                name in ("login", "email") or name.startswith("external_id:") for name in cells
            ):
                cure = "fill at least one of slug, email, login, external_id"
                raise LineRejected("slug", "", "nothing says who this line is about", cure)
        if found and found.id in self.line_by_person:
            raise LineRejected(
                "slug",
                found.slug,
                f"line {self.line_by_person[found.id]} is already about `{found.slug}`",
                "keep one line a person",
            )
        return found

    def _new_slug(self, cells: dict[str, str]) -> str:
        if "slug" in cells:
            return cells["slug"]
        base_text = cells.get("login") or cells.get("email", "").partition("@")[0] or cells.get("display_name", "")
        base = slugify(base_text) or f"person-{derived_id(*sorted(cells.values())).hex[:8]}"
        slug, count = base, self.numbered.get(base, 1)
        while slug in self.by_slug:
            count += 1
            slug = f"{base}-{count}"
        self.numbered[base] = count
        return slug
