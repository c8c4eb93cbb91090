"""When the directory changes whom a name means, or the workday of an instant, legs and agents' states are derived again:
contacts that waited for a name take effect, and legs with another agent or workday get a new version.

This is done in steps, from one `RederivePosition` to the next. The event door does the first steps, so that a small change
is done at once; the clock door does the others.
"""

from collections.abc import Iterable, Sequence
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
from ingest.store import held_contacts, interactions, locks, roster, states
from ingest.store.interactions import AgentLeg
from ingest.store.roster import KnownPerson

LEGS_PER_STEP = 1000
PEOPLE_PER_STEP = 200
STEPS_PER_EVENT = 3
NO_AGENT_ID = UUID(int=0)
"""Stands for nobody: of legs without agent, whose workdays are the tenant's."""

Stage = Literal["held", "legs", "states"]


@dataclass(frozen=True)
class RederivePosition:
    """Progress of deriving a person's legs and states again (`NO_AGENT_ID`: legs without agent). `names`: a name may mean
    another person; else only workdays may differ. `after`: key of the last row that this stage covered."""

    person_id: UUID
    names: bool
    stage: Stage = "held"
    after: tuple[Any, ...] | None = None


# Called by the doors


async def on_person(session: Session, documents: DocumentStore, person: PersonChanged) -> None:
    """Derives again what a change of a person affects: external ids, or the inputs of the workdays."""
    await session.lock_keys([_directory_lock_key(session)])
    ids = sorted((each.model_dump(mode="json") for each in person.external_ids), key=str)
    days = dump_workday_inputs(await directory.load_workdays(session, [person.id]), person.id)
    before = await roster.load_known_people(session, [person.id])
    now, then = KnownPerson(ids, days), before.get(person.id, KnownPerson([], days))
    if now == then and person.id in before:
        return
    await roster.upsert_known_people(session, {person.id: now})
    if now == then:
        return
    await locks.lock_tenant_exclusive(session)
    names = then.external_ids != ids or _has_dates(ids)
    others = await roster.find_people_sharing_names(session, [person.id]) if names else []
    for each in [person.id, *others]:
        await _rederive(session, documents, RederivePosition(each, names), steps=STEPS_PER_EVENT)


async def on_org_unit(session: Session, documents: DocumentStore, unit_id: UUID) -> None:
    """Derives again what a change of an org unit affects: its members, now or before, may have another time zone."""
    await session.lock_keys([_directory_lock_key(session)])
    await _check_workdays(session, documents, unit_id, None)


async def on_tenant(session: Session, documents: DocumentStore) -> None:
    """Derives again what a change of the tenant affects, if the inputs of its workdays differ. The event also comes whenever
    the tenant's clock moves."""
    await session.lock_keys([_directory_lock_key(session)])
    days = dump_workday_inputs(await directory.load_workdays(session, []), NO_AGENT_ID)
    before = await roster.load_known_people(session, [NO_AGENT_ID])
    if NO_AGENT_ID not in before or before[NO_AGENT_ID].days != days:
        await _check_workdays(session, documents, None, None)


async def on_check_workdays(session: Session, documents: DocumentStore, item: DueItem) -> None:
    """Checks the workdays of the next people, after those whom a former step covered."""
    after = item.body["after"]
    await _check_workdays(session, documents, UUID(item.ref) if item.ref else None, UUID(after))


async def _check_workdays(session: Session, documents: DocumentStore, unit_id: UUID | None, after: UUID | None) -> None:
    """Finds people whose workdays differ from those that their legs were derived from, a page at a time, and schedules the
    derivation. `unit_id` None: all people of the tenant; `after`: the last person of the page before."""
    people = await roster.load_people_page(session, unit_id, after, PEOPLE_PER_STEP)
    checked = [*people, *([NO_AGENT_ID] if unit_id is None and after is None else [])]
    before = await roster.load_known_people(session, checked)
    workdays = await directory.load_workdays(session, people)
    now = {each: dump_workday_inputs(workdays, each) for each in checked}
    moved = [each for each in checked if each not in before or before[each].days != now[each]]
    if moved:
        await locks.lock_tenant_exclusive(session)
        await roster.upsert_known_people(
            session,
            {each: KnownPerson(before[each].external_ids if each in before else [], now[each]) for each in moved},
        )
        dated = [each for each in moved if each in before and _has_dates(before[each].external_ids)]
        for each in [*dated, *(await roster.find_people_sharing_names(session, dated) if dated else [])]:
            await _schedule_rederive(session, RederivePosition(each, names=True))
        for each in set(moved) - {*dated, NO_AGENT_ID}:
            await _schedule_rederive(session, RederivePosition(each, names=False))
        if NO_AGENT_ID in moved:
            await _rederive(session, documents, RederivePosition(NO_AGENT_ID, names=False), steps=STEPS_PER_EVENT)
    if len(people) == PEOPLE_PER_STEP:
        body = {"after": str(people[-1])}
        await session.schedule("days", str(unit_id or ""), session.now, body, serialize_by=_directory_lock_key(session))


async def on_rederive(session: Session, documents: DocumentStore, item: DueItem) -> None:
    """Does the next step of a derivation."""
    after = item.body["after"]
    person_id, names, stage = UUID(item.body["person_id"]), item.body["names"], item.body["stage"]
    position = RederivePosition(person_id, names, stage, tuple(after) if after else None)
    await _rederive(session, documents, position, steps=1)


def dump_workday_inputs(workdays: Workdays, person_id: UUID) -> list[Any]:
    """What a person's workdays depend on, as JSON; for `NO_AGENT_ID`, the tenant's."""
    periods = [[first.isoformat(), str(zone)] for first, zone in workdays.zone_periods.get(person_id, ())]
    return [workdays.day_start_minutes, periods or str(workdays.zone)]


def _has_dates(ids: Iterable[dict[str, Any]]) -> bool:
    """Whether a name has a first or a last day: then workdays decide whom it means."""
    return any(each["valid_from"] or each["valid_to"] for each in ids)


# Steps


def _directory_lock_key(session: Session) -> str:
    """The lock of a tenant's directory events and of the steps that follow from them, so that no step overlaps a change.
    Before the first step, `lock_tenant_exclusive` waits for merges under way, which may have read the directory as it
    was."""
    return f"directory of {session.tenant}"


async def _schedule_rederive(session: Session, position: RederivePosition) -> None:
    ref = f"{position.person_id} {'names' if position.names else 'days'}"
    body = asdict(position) | {"person_id": str(position.person_id)}
    await session.schedule("follow", ref, session.now, body, serialize_by=_directory_lock_key(session))


async def _rederive(session: Session, documents: DocumentStore, position: RederivePosition, *, steps: int) -> None:
    """Does up to `steps` steps, and schedules the rest."""
    following: RederivePosition | None = position
    for _ in range(steps):
        if following is None:
            return
        following = await _rederive_step(session, documents, following)
    if following is not None:
        await _schedule_rederive(session, following)


async def _rederive_step(
    session: Session, documents: DocumentStore, position: RederivePosition
) -> RederivePosition | None:
    """Does one step. Returns the next position; None after the last step."""
    last: tuple[Any, ...] | None = None
    match position.stage:
        case "held" if position.names:
            waiting = await held_contacts.load_contacts_waiting_for(
                session, position.person_id, position.after, LEGS_PER_STEP
            )
            await _merge_interactions(session, documents, [(row.source, (row.root, row.contact)) for row in waiting])
            if len(waiting) == LEGS_PER_STEP:
                last = (waiting[-1].source, waiting[-1].contact)
        case "legs":
            agent_id = None if position.person_id == NO_AGENT_ID else position.person_id
            legs = await interactions.load_agent_legs(session, agent_id, position.after, LEGS_PER_STEP)
            affected = await _legs_to_rederive(session, position, legs)
            await _merge_interactions(session, documents, [(leg.source, (leg.root,)) for leg in affected])
            if len(legs) == LEGS_PER_STEP:
                last = (legs[-1].started_at.isoformat(), str(legs[-1].interaction_id), legs[-1].leg)
        case "states":
            by_source: dict[str, set[str]] = {}
            for row in await states.find_agents_of_person(session, position.person_id):
                by_source.setdefault(row.source, set()).add(row.agent)
            for slug, agents in sorted(by_source.items()):
                await derive_states(session, slug, dict.fromkeys(sorted(agents), 0))
            return None
        case _:
            pass
    if last is not None:
        return RederivePosition(position.person_id, position.names, position.stage, last)
    next_stage: dict[Stage, Stage] = {"held": "legs", "legs": "states"}
    return RederivePosition(position.person_id, position.names, next_stage[position.stage])


async def _legs_to_rederive(
    session: Session, position: RederivePosition, legs: Sequence[AgentLeg]
) -> Sequence[AgentLeg]:
    """Those of the legs whose agent or workday may differ now."""
    if position.names:
        return legs
    workdays = await directory.load_workdays(session, [position.person_id])
    return [leg for leg in legs if workdays.workday_of(leg.agent_id, leg.started_at) != leg.workday]


async def _merge_interactions(
    session: Session, documents: DocumentStore, names_by_source: Iterable[tuple[str, tuple[str, ...]]]
) -> None:
    """Derives the interactions of these contacts and roots again, by source."""
    rederive: dict[str, set[str]] = {}
    for slug, names in names_by_source:
        rederive.setdefault(slug, set()).update(names)
    for slug, names in sorted(rederive.items()):
        source = await find_source(session, slug)
        if source is not None:
            batch = MultiInsert()
            await merge_parts(session, documents, source, rederive=sorted(names), inserts=batch)
            await session.insert_multi(batch, source=slug, receipt_id=None, known_at=session.now, since=session.now)
