"""The check of a blueprint before anything of it is applied: every other service checks its section against the names that
will exist afterwards."""

import asyncio
from asyncio import to_thread
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contracts import ALL_SERVICES
from contracts.directory import OrgUnitChanged
from contracts.section_names import Names, merge_names
from servicekit.blueprints.checking import Changes, Reference, SectionCheck, find_unknown_names
from servicekit.errors import FieldProblem
from storage import Session

from identity.clients.sections import CheckUnavailable, SectionCheckClient, encode_request
from identity.model.blueprints import SECTION_POINTER
from identity.store import blueprints as store


@dataclass
class SectionChecks:
    """The result. `names`: those that exist once the blueprint is applied; `changes` by service and part of its section;
    `unreachable`: a problem for each service that did not answer; `unchecked`: sections that were not checked, since identity
    has no address of the services."""

    names: Names
    problems: list[FieldProblem] = field(default_factory=list[FieldProblem])
    changes: dict[str, dict[str, Changes]] = field(default_factory=dict[str, dict[str, Changes]])
    unreachable: list[FieldProblem] = field(default_factory=list[FieldProblem])
    unchecked: list[str] = field(default_factory=list[str])


async def check_sections(
    session: Session,
    sections: dict[str, dict[str, Any]],
    units: Sequence[OrgUnitChanged],
    services: SectionCheckClient | None,
    token: str,
) -> SectionChecks:
    """Checks `sections` at their services. When names disappear, also calls each service that may refer to them. `units`: those that
    exist now; `services` None: no service is called; `token`: the caller's access token."""
    answers = await store.list_section_answers(session)
    contents = {service: each.content for service, each in answers.items() if each.content is not None}
    present = contents | {"identity": {"org_units": [{"slug": unit.slug} for unit in units if unit.active]}}
    now, after = await to_thread(merge_names, present, {}), await to_thread(merge_names, present, sections)
    checked = SectionChecks(after)
    with_section = [name for name in ALL_SERVICES[1:] if name in sections]
    if services is None:
        checked.unchecked = with_section
        return checked
    others = [name for name in ALL_SERVICES[1:] if name in contents and name not in sections]
    to_check = [*with_section, *(others if _removes_names(now, after) else [])]

    async def check(service: str) -> SectionCheck | CheckUnavailable:
        body = await to_thread(encode_request, sections.get(service), after, now)
        return await services.check(service, body, tenant=session.tenant, token=token)

    for service, answer in zip(to_check, await asyncio.gather(*map(check, to_check)), strict=True):
        at = f"/sections/{service}"
        if isinstance(answer, CheckUnavailable):
            problem = f"{service} could not be asked: {answer.reason}"
            checked.unreachable.append(FieldProblem(pointer=at, problem=problem, cure="try again when it is up"))
            continue
        in_force = "" if service in sections else "what is in force names something that this takes away: "
        checked.problems += [
            each.model_copy(
                update={"pointer": at + each.pointer, "problem": in_force + each.problem, "line": None, "column": None}
            )
            for each in answer.problems
        ]
        if answer.changes:
            checked.changes[service] = answer.changes
    return checked


def _removes_names(now: Names, after: Names) -> bool:
    """Whether a name of `now`, or one inside of it, is missing from `after`."""
    for kind, names in now.items():
        for name, inside in names.items():
            if name not in after[kind]:
                return True
            remaining = after[kind][name]
            if remaining is not None and (inside is None or not set(inside) <= set(remaining)):
                return True
    return False


def find_unknown_sources(section: dict[str, Any], names: Names) -> list[FieldProblem]:
    """Problems of external ids in an identity section whose source does not exist. None while the tenant has no source at all:
    people may be set up first."""
    sources = names.get("source")
    if not sources:
        return []
    return find_unknown_names(
        [
            Reference(
                f"{SECTION_POINTER}/people/{number}/external_ids/{place}/source", "source", str(each.get("source"))
            )
            for number, person in enumerate(section.get("people") or [])
            for place, each in enumerate(person.get("external_ids") or [])
        ],
        names,
    )
