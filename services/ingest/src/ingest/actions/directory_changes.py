"""When the directory says something else of whom a name means, or of whose day an instant is, the legs and the agents'
states follow: what waited for a name takes effect, what bears another agent or workday gets a new version.

It is done a step at a time, from a `Place` to the next. The first steps are taken with the event, so that what is small
is done at once; the clock takes the others.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import UUID

from contracts.directory import PersonChanged
from servicekit import DueItem, directory
from servicekit.workdays import Workdays
from storage import DocumentStore, MultiInsert, Session

from ingest.actions.merging import merge_parts
from ingest.actions.sources import find_source
from ingest.actions.states import derive_states
from ingest.store import interactions, roster, states

LEGS_PER_STEP = 1000
PEOPLE_PER_STEP = 200
STEPS_AT_ONCE = 3
NO_AGENT_ID = UUID(int=0)

Stage = Literal["held", "legs", "states"]


@dataclass(frozen=True)
class RederivePosition:
    """How far it has come with a person (NOBODY: with what nobody took). `names`: another person may be meant now; else
    only days may have moved. `after`: the last one that was looked at in this stage."""

    person_id: UUID
    names: bool
    stage: Stage = "held"
    after: tuple[Any, ...] | None = None


# Entrances


async def on_person(session: Session, documents: DocumentStore, person: PersonChanged) -> None:
    await session.lock_keys([_directory_lock_key(session)])
    ids = sorted((each.model_dump(mode="json") for each in person.external_ids), key=str)
    days = dump_workday_inputs(await directory.load_workdays(session, [person.id]), person.id)
    before = await roster.load_known_people(session, [person.id])
    ids_before, days_before = before.get(person.id, ([], days))
    if (ids, days) == (ids_before, days_before) and person.id in before:
        return
    await roster.upsert_known_people(session, {person.id: (ids, days)})
    if (ids, days) == (ids_before, days_before):
        return
    await interactions.lock_tenant_exclusive(session)
    names = ids_before != ids or _has_dates(ids)
    others = await roster.find_people_sharing_names(session, [person.id]) if names else []
    for each in [person.id, *others]:
        await _rederive(session, documents, RederivePosition(each, names), at_once=STEPS_AT_ONCE)


async def on_org_unit(session: Session, documents: DocumentStore, unit_id: UUID) -> None:
    """Whoever is or was in it may work in another zone now."""
    await session.lock_keys([_directory_lock_key(session)])
    await _check_workdays(session, documents, unit_id, None)


async def on_tenant(session: Session, documents: DocumentStore) -> None:
    """Whether its days are other ones now: it is told anew whenever its clock moves."""
    await session.lock_keys([_directory_lock_key(session)])
    days = dump_workday_inputs(await directory.load_workdays(session, []), NO_AGENT_ID)
    before = await roster.load_known_people(session, [NO_AGENT_ID])
    if NO_AGENT_ID not in before or before[NO_AGENT_ID][1] != days:
        await _check_workdays(session, documents, None, None)


async def on_check_workdays(session: Session, documents: DocumentStore, item: DueItem) -> None:
    after = item.body["after"]
    await _check_workdays(session, documents, UUID(item.ref) if item.ref else None, UUID(after))


async def _check_workdays(session: Session, documents: DocumentStore, unit_id: UUID | None, after: UUID | None) -> None:
    """Looks for people, some at a time, whose days are counted otherwise now; their legs follow."""
    people = await roster.load_people_page(session, unit_id, after, PEOPLE_PER_STEP)
    looked_at = [*people, *([NO_AGENT_ID] if unit_id is None and after is None else [])]
    before = await roster.load_known_people(session, looked_at)
    workdays = await directory.load_workdays(session, people)
    now = {each: dump_workday_inputs(workdays, each) for each in looked_at}
    moved = [each for each in looked_at if each not in before or before[each][1] != now[each]]
    if moved:
        await interactions.lock_tenant_exclusive(session)
        await roster.upsert_known_people(
            session, {each: (before[each][0] if each in before else [], now[each]) for each in moved}
        )
        dated = [each for each in moved if each in before and _has_dates(before[each][0])]
        for each in [*dated, *(await roster.find_people_sharing_names(session, dated) if dated else [])]:
            await _schedule_rederive(session, RederivePosition(each, names=True))
        for each in set(moved) - {*dated, NO_AGENT_ID}:
            await _schedule_rederive(session, RederivePosition(each, names=False))
        if NO_AGENT_ID in moved:
            await _rederive(session, documents, RederivePosition(NO_AGENT_ID, names=False), at_once=STEPS_AT_ONCE)
    if len(people) == PEOPLE_PER_STEP:
        body = {"after": str(people[-1])}
        await session.schedule("days", str(unit_id or ""), session.now, body, lock_key=_directory_lock_key(session))


async def on_rederive(session: Session, documents: DocumentStore, item: DueItem) -> None:
    after = item.body["after"]
    person_id, names, stage = UUID(item.body["person_id"]), item.body["names"], item.body["stage"]
    await _rederive(
        session, documents, RederivePosition(person_id, names, stage, tuple(after) if after else None), at_once=1
    )


def dump_workday_inputs(workdays: Workdays, person_id: UUID) -> list[Any]:
    """All that a person's days depend on, as JSON; of NOBODY, the tenant's."""
    stretches = [[first.isoformat(), str(zone)] for first, zone in workdays.zone_periods.get(person_id, ())]
    return [workdays.day_start_minutes, stretches or str(workdays.zone)]


def _has_dates(ids: Iterable[dict[str, Any]]) -> bool:
    """Whether a name begins or ends on a day: then the days also say whom it means."""
    return any(each["valid_from"] or each["valid_to"] for each in ids)


# Steps


def _directory_lock_key(session: Session) -> str:
    """Events of a tenant's directory and the steps that follow from them take turns, so that none goes on from before a
    change. Before the first step every merge under way is waited for (`alone`): it may have read the directory as it was."""
    return f"directory of {session.tenant}"


async def _schedule_rederive(session: Session, position: RederivePosition) -> None:
    ref = f"{position.person_id} {'names' if position.names else 'days'}"
    body = asdict(position) | {"person_id": str(position.person_id)}
    await session.schedule("follow", ref, session.now, body, lock_key=_directory_lock_key(session))


async def _rederive(session: Session, documents: DocumentStore, position: RederivePosition, *, at_once: int) -> None:
    next_place: RederivePosition | None = position
    for _ in range(at_once):
        if next_place is None:
            return
        next_place = await _rederive_step(session, documents, next_place)
    if next_place is not None:
        await _schedule_rederive(session, next_place)


async def _rederive_step(
    session: Session, documents: DocumentStore, position: RederivePosition
) -> RederivePosition | None:
    match position.stage:
        case "held" if position.names:
            rows = await interactions.load_contacts_waiting_for(
                session, position.person_id, position.after, LEGS_PER_STEP
            )
            await _merge_interactions(
                session, documents, [(row["source"], (row["root"], row["contact"])) for row in rows]
            )
            last = (rows[-1]["source"], rows[-1]["contact"]) if len(rows) == LEGS_PER_STEP else None
        case "legs":
            rows = await interactions.load_agent_legs(
                session,
                None if position.person_id == NO_AGENT_ID else position.person_id,
                position.after,
                LEGS_PER_STEP,
            )
            await _merge_interactions(
                session,
                documents,
                [(row["source"], (row["root"],)) for row in await _legs_to_rederive(session, position, rows)],
            )
            last = None
            if len(rows) == LEGS_PER_STEP:
                last = (rows[-1]["started_at"].isoformat(), str(rows[-1]["interaction_id"]), rows[-1]["leg"])
        case "states":
            told: dict[str, set[str]] = {}
            for row in await states.find_agents_of_person(session, position.person_id):
                told.setdefault(row["source"], set()).add(row["agent"])
            for slug, agents in sorted(told.items()):
                await derive_states(session, slug, dict.fromkeys(sorted(agents), 0))
            return None
        case _:
            last = None
    following: dict[Stage, Stage] = {"held": "legs", "legs": "states"}
    if last is not None:
        return RederivePosition(position.person_id, position.names, position.stage, last)
    return RederivePosition(position.person_id, position.names, following[position.stage])


async def _legs_to_rederive(
    session: Session, position: RederivePosition, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Those legs that may have another agent or workday now."""
    if position.names:
        return rows
    workdays = await directory.load_workdays(session, [position.person_id])
    return [row for row in rows if workdays.workday_of(row["agent_id"], row["started_at"]) != row["workday"]]


async def _merge_interactions(
    session: Session, documents: DocumentStore, found: Iterable[tuple[str, tuple[str, ...]]]
) -> None:
    around: dict[str, set[str]] = {}
    for slug, names in found:
        around.setdefault(slug, set()).update(names)
    for slug, names in sorted(around.items()):
        source = await find_source(session, slug)
        if source is not None:
            batch = MultiInsert()
            await merge_parts(session, documents, source, rederive=sorted(names), inserts=batch)
            await session.insert_multi(batch, source=slug, receipt_id=None, known_at=session.now, since=session.now)
