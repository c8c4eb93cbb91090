"""Blueprints: publishing a tenant's configuration, and exporting it."""

from asyncio import to_thread
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from contracts import ALL_SERVICES, new_id
from contracts.blueprints import BlueprintPublished
from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged
from pydantic import BaseModel
from servicekit.audit import origin_of, record_change
from servicekit.blueprints.checking import Changes
from servicekit.errors import FieldProblem, Invalid, NotFound, TooLarge, Unavailable
from servicekit.workers import run_in_worker
from storage import Session

from identity.actions.admins import require_admin
from identity.actions.checking import check_sections, find_unknown_sources
from identity.actions.recording import lock_tenant, record_people_changes, record_tenant_change, record_unit_changes
from identity.clients.sections import SectionCheckClient
from identity.model.blueprints import (
    SECTION_POINTER,
    Bundle,
    SectionPlan,
    parse_bundle,
    plan_section,
    to_invalid_bundle,
)
from identity.model.documents import compute_digest
from identity.model.org import OrgTree
from identity.model.specs import Section, to_section
from identity.store import blueprints as store
from identity.store import desired_resources, directory
from identity.store.blueprints import BlueprintVersion

MAX_BUNDLE_CHARACTERS = 10_000_000
READING_SECONDS = 30.0


class BlueprintReport(BaseModel):
    """What publishing did, or with `dry_run` would do. `published` False: the newest version has the same content.
    `changes`: what is created, changed and removed, by service and part of its section. `unchecked`: sections that their
    services could not be asked about, since identity was not told where they are."""

    blueprint: str
    version: int
    published: bool
    dry_run: bool = False
    sections: list[str]
    org_units_changed: list[str] = []
    people_changed: list[str] = []
    changes: dict[str, dict[str, Changes]] = {}
    unchecked: list[str] = []


async def publish_blueprint(
    session: Session,
    text: str,
    *,
    dry_run: bool,
    again: bool,
    issuer: str,
    services: SectionCheckClient | None = None,
    token: str = "",
) -> BlueprintReport:
    """Checks the bundle, applies its identity section, and publishes the sections of the other services. Content that equals
    the newest version changes nothing; with `again` the newest version is applied and published once more. `services` checks
    the other sections first, on behalf of the caller with the access token `token`; None: they are not checked. Raises
    TooLarge, Invalid with every problem (pointer, line, cure), and Unavailable when a service could not be asked; nothing is
    applied then."""
    if len(text) > MAX_BUNDLE_CHARACTERS:
        raise TooLarge(
            "too-large",
            f"A blueprint has at most {MAX_BUNDLE_CHARACTERS:,} characters. Import people from a file instead.",
        )
    bundle, section, problems = await run_in_worker(parse_bundle, text, seconds=READING_SECONDS)
    fingerprint = await to_thread(compute_digest, {"blueprint": bundle.blueprint, "sections": bundle.sections})
    newest = await store.find_newest_version(session)
    checked = None
    if again or problems or newest is None or newest.digest != fingerprint:
        # Before the tenant is locked: other services may take seconds.
        known = {name: content for name, content in bundle.sections.items() if name in ALL_SERVICES}
        checked = await check_sections(session, known, await directory.load_units(session), services, token)
        problems += checked.problems
        if section is not None:
            problems += find_unknown_sources(bundle.sections["identity"], checked.names)
        if problems and section is None:
            raise await _publish_refused(problems + checked.unreachable, text)
    tenant = await lock_tenant(session)
    newest = await store.find_newest_version(session)
    same = newest is not None and newest.digest == fingerprint
    version = (newest.version if newest else 0) + (0 if same else 1)
    report = BlueprintReport(
        blueprint=bundle.blueprint,
        version=version,
        published=not same,
        dry_run=dry_run,
        sections=list(bundle.sections),
    )
    if checked is None or (same and not again):
        return report
    report.changes, report.unchecked = checked.changes, checked.unchecked
    if section is not None:
        problems = await _apply_identity(
            session,
            section,
            tenant,
            issuer=issuer,
            report=report,
            problems=problems,
            change=not (dry_run or checked.unreachable),
        )
        if problems:
            raise await _publish_refused(problems + checked.unreachable, text)
    if checked.unreachable:
        raise await _services_unavailable(checked.unreachable, text)
    if dry_run:
        return report
    await _publish(session, bundle, version, fingerprint, newest, with_identity=section is not None)
    return report


async def _apply_identity(
    session: Session,
    section: Section,
    tenant: TenantChanged,
    *,
    issuer: str,
    report: BlueprintReport,
    problems: list[FieldProblem],
    change: bool,
) -> list[FieldProblem]:
    """Writes what the identity section changes into the report and, if `change`, into the directory. Returns `problems` and
    those of the section; with any of them nothing is reported or changed."""
    units, people = await directory.load_units(session), await directory.load_people(session)
    plan = await _plan(session, section, tenant, units, people, issuer)
    if problems or plan.problems:
        return problems + plan.problems
    await require_admin(session, people, plan.people)
    report.org_units_changed = [unit.slug for unit in plan.units]
    report.people_changed = [person.slug for person in plan.people]
    if own := _own_changes(tenant, plan, units, people):
        report.changes = {"identity": own, **report.changes}
    if change:
        await _apply(session, plan, tenant, units, people)
    return []


async def _publish(
    session: Session,
    bundle: Bundle,
    version: int,
    digest: str,
    newest: BlueprintVersion | None,
    *,
    with_identity: bool,
) -> None:
    """Stores the version unless it is the newest already, and publishes it."""
    origin = origin_of(session)
    same = newest is not None and newest.version == version
    if not same:
        by = f"{origin.actor.tenant}/{origin.actor.slug}"
        await store.add_version(
            session, version=version, name=bundle.blueprint, digest=digest, sections=bundle.sections, by=by
        )
    if with_identity:
        await store.record_section_applied(session, "identity", version, None)
    # Each service records the changes of its own resources when it applies its section.
    record_change(
        session,
        "blueprint",
        str(version),
        action="published_again" if same else "published",
        before=newest and _to_bundle_document(newest.name, newest.version, newest.sections),
        after=_to_bundle_document(bundle.blueprint, version, bundle.sections),
    )
    session.emit(BlueprintPublished(version=version, sections=bundle.sections, origin=origin))


async def _plan(
    session: Session,
    section: Section,
    tenant: TenantChanged,
    units: list[OrgUnitChanged],
    people: dict[UUID, PersonChanged],
    issuer: str,
) -> SectionPlan:
    """What the identity section would change, and all of its problems."""
    plan = await to_thread(
        plan_section,
        section,
        tenant=tenant,
        units=units,
        people=people,
        now=session.now,
        issuer=issuer,
        new_id=new_id,
        provider_logins=await desired_resources.load_provider_logins(session, issuer),
    )
    plan.problems.extend(await to_thread(_find_deactivation_problems, plan, units, section))
    return plan


async def _services_unavailable(unreachable: list[FieldProblem], text: str) -> Unavailable:
    refused = await _publish_refused(unreachable, text)
    reasons = "; ".join(each.problem for each in unreachable)
    return Unavailable("services-not-asked", f"Nothing was applied: {reasons}.", errors=refused.errors, retry_after=5)


async def _publish_refused(problems: list[FieldProblem], text: str) -> Invalid:
    return await run_in_worker(to_invalid_bundle, problems, text, seconds=READING_SECONDS)


def _own_changes(
    tenant: TenantChanged, plan: SectionPlan, units: list[OrgUnitChanged], people: dict[UUID, PersonChanged]
) -> dict[str, Changes]:
    before, after = tenant.model_dump(), plan.tenant.model_dump()
    existing = {unit.id for unit in units}
    found = {
        "tenant": Changes(changed=sorted(name for name in after if after[name] != before[name])),
        "org_units": Changes(
            created=sorted(unit.slug for unit in plan.units if unit.id not in existing),
            changed=sorted(unit.slug for unit in plan.units if unit.id in existing),
        ),
        "people": Changes(
            created=sorted(person.slug for person in plan.people if person.id not in people),
            changed=sorted(person.slug for person in plan.people if person.id in people),
        ),
    }
    return {part: changes for part, changes in found.items() if changes != Changes()}


def _to_bundle_document(blueprint: str, version: int, sections: Mapping[str, Any]) -> dict[str, Any]:
    return {"blueprint": blueprint, "version": version, "sections": sorted(sections)}


def _find_deactivation_problems(plan: SectionPlan, units: list[OrgUnitChanged], section: Section) -> list[FieldProblem]:
    """Active units below a unit that is switched off. Its members are a matter of the rules about people."""
    old = {unit.id: unit for unit in units}
    places = {spec.slug: index for index, spec in enumerate(section.org_units)}
    closed = [unit for unit in plan.units if not unit.active and unit.id in old and old[unit.id].active]
    left: dict[UUID, list[str]] = {unit.id: [] for unit in closed}
    for below in OrgTree([*units, *plan.units]).parents_first():
        for ancestor in below.path:
            if below.active and ancestor in left:
                left[ancestor].append(below.slug)
    problems: list[FieldProblem] = []
    for unit in closed:
        if left[unit.id]:
            problem = f"`{unit.slug}` still has active units below it: {', '.join(left[unit.id][:5])}"
            pointer = f"{SECTION_POINTER}/org_units/{places[unit.slug]}/active"
            problems.append(FieldProblem(pointer=pointer, problem=problem, cure="switch them off too, or move them"))
    return problems


async def _apply(
    session: Session,
    plan: SectionPlan,
    tenant: TenantChanged,
    units: list[OrgUnitChanged],
    people: dict[UUID, PersonChanged],
) -> None:
    await record_tenant_change(session, tenant, plan.tenant)
    await record_unit_changes(session, units, plan.units)
    await record_people_changes(session, people, plan.people)


async def export_blueprint(session: Session, version: int | None) -> dict[str, Any]:
    """The bundle that would recreate this tenant, as it is now or as `version` was published. Raises NotFound for an unknown
    tenant or version."""
    if version is not None:
        stored = await store.find_version(session, version)
        if stored is None:
            raise NotFound("unknown-version", f"`{session.tenant}` has no blueprint version {version}.")
        return {"blueprint": stored.name, "sections": stored.sections}
    tenant = await directory.load_tenant(session)
    if tenant is None:
        raise NotFound("unknown-tenant", f"There is no tenant `{session.tenant}`.")
    newest = await store.find_newest_version(session)
    units = OrgTree(await directory.load_units(session)).parents_first()
    people = sorted((await directory.load_people(session)).values(), key=lambda person: person.slug)
    answers = await store.list_section_answers(session)
    others = {service: each.content for service, each in sorted(answers.items()) if each.content is not None}
    sections = {"identity": await to_thread(to_section, tenant, units, people), **others}
    return {"blueprint": newest.name if newest else session.tenant, "sections": sections}
