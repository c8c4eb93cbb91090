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
from storage import DocumentStore, Session

from ingest.actions.merging import merge_parts
from ingest.actions.sources import find_source
from ingest.actions.states import derive
from ingest.store import interactions, roster, states
from ingest.store.bulk import Batch

CHUNK = 1000
PEOPLE = 200
AT_ONCE = 3
NOBODY = UUID(int=0)

Stage = Literal["held", "legs", "states"]


@dataclass(frozen=True)
class Place:
    """How far it has come with a person (NOBODY: with what nobody took). `names`: another person may be meant now; else
    only days may have moved. `after`: the last one that was looked at in this stage."""

    person_id: UUID
    names: bool
    stage: Stage = "held"
    after: tuple[Any, ...] | None = None


# Entrances


async def on_person(session: Session, documents: DocumentStore, person: PersonChanged) -> None:
    await session.take_turns([_turn(session)])
    ids = sorted((each.model_dump(mode="json") for each in person.external_ids), key=str)
    days = days_of(await directory.workdays(session, [person.id]), person.id)
    before = await roster.known(session, [person.id])
    ids_before, days_before = before.get(person.id, ([], days))
    if (ids, days) == (ids_before, days_before) and person.id in before:
        return
    await roster.remember(session, {person.id: (ids, days)})
    if (ids, days) == (ids_before, days_before):
        return
    await interactions.alone(session)
    names = ids_before != ids or _dated(ids)
    others = await roster.sharing_names(session, [person.id]) if names else []
    for each in [person.id, *others]:
        await _follow(session, documents, Place(each, names), at_once=AT_ONCE)


async def on_org_unit(session: Session, documents: DocumentStore, unit_id: UUID) -> None:
    """Whoever is or was in it may work in another zone now."""
    await session.take_turns([_turn(session)])
    await _look_at_people(session, documents, unit_id, None)


async def on_tenant(session: Session, documents: DocumentStore) -> None:
    """Whether its days are other ones now: it is told anew whenever its clock moves."""
    await session.take_turns([_turn(session)])
    days = days_of(await directory.workdays(session, []), NOBODY)
    before = await roster.known(session, [NOBODY])
    if NOBODY not in before or before[NOBODY][1] != days:
        await _look_at_people(session, documents, None, None)


async def on_days(session: Session, documents: DocumentStore, item: DueItem) -> None:
    after = item.body["after"]
    await _look_at_people(session, documents, UUID(item.ref) if item.ref else None, UUID(after))


async def _look_at_people(session: Session, documents: DocumentStore, unit_id: UUID | None, after: UUID | None) -> None:
    """Looks for people, some at a time, whose days are counted otherwise now; their legs follow."""
    people = await roster.people_known(session, unit_id, after, PEOPLE)
    looked_at = [*people, *([NOBODY] if unit_id is None and after is None else [])]
    before = await roster.known(session, looked_at)
    workdays = await directory.workdays(session, people)
    now = {each: days_of(workdays, each) for each in looked_at}
    moved = [each for each in looked_at if each not in before or before[each][1] != now[each]]
    if moved:
        await interactions.alone(session)
        await roster.remember(session, {each: (before[each][0] if each in before else [], now[each]) for each in moved})
        dated = [each for each in moved if each in before and _dated(before[each][0])]
        for each in [*dated, *(await roster.sharing_names(session, dated) if dated else [])]:
            await _later(session, Place(each, names=True))
        for each in set(moved) - {*dated, NOBODY}:
            await _later(session, Place(each, names=False))
        if NOBODY in moved:
            await _follow(session, documents, Place(NOBODY, names=False), at_once=AT_ONCE)
    if len(people) == PEOPLE:
        body = {"after": str(people[-1])}
        await session.schedule("days", str(unit_id or ""), session.now, body, turn=_turn(session))


async def on_follow(session: Session, documents: DocumentStore, item: DueItem) -> None:
    after = item.body["after"]
    person_id, names, stage = UUID(item.body["person_id"]), item.body["names"], item.body["stage"]
    await _follow(session, documents, Place(person_id, names, stage, tuple(after) if after else None), at_once=1)


def days_of(workdays: Workdays, person_id: UUID) -> list[Any]:
    """All that a person's days depend on, as JSON; of NOBODY, the tenant's."""
    stretches = [[first.isoformat(), str(zone)] for first, zone in workdays.stretches.get(person_id, ())]
    return [workdays.day_start_minutes, stretches or str(workdays.zone)]


def _dated(ids: Iterable[dict[str, Any]]) -> bool:
    """Whether a name begins or ends on a day: then the days also say whom it means."""
    return any(each["valid_from"] or each["valid_to"] for each in ids)


# Steps


def _turn(session: Session) -> str:
    """Events of a tenant's directory and the steps that follow from them take turns, so that none goes on from before a
    change. Before the first step every merge under way is waited for (`alone`): it may have read the directory as it was."""
    return f"directory of {session.tenant}"


async def _later(session: Session, place: Place) -> None:
    ref = f"{place.person_id} {'names' if place.names else 'days'}"
    body = asdict(place) | {"person_id": str(place.person_id)}
    await session.schedule("follow", ref, session.now, body, turn=_turn(session))


async def _follow(session: Session, documents: DocumentStore, place: Place, *, at_once: int) -> None:
    next_place: Place | None = place
    for _ in range(at_once):
        if next_place is None:
            return
        next_place = await _step(session, documents, next_place)
    if next_place is not None:
        await _later(session, next_place)


async def _step(session: Session, documents: DocumentStore, place: Place) -> Place | None:
    match place.stage:
        case "held" if place.names:
            rows = await interactions.waiting_for(session, place.person_id, place.after, CHUNK)
            await _merge(session, documents, [(row["source"], (row["root"], row["contact"])) for row in rows])
            last = (rows[-1]["source"], rows[-1]["contact"]) if len(rows) == CHUNK else None
        case "legs":
            rows = await interactions.legs_of_agent(
                session, None if place.person_id == NOBODY else place.person_id, place.after, CHUNK
            )
            await _merge(
                session, documents, [(row["source"], (row["root"],)) for row in await _moved(session, place, rows)]
            )
            last = None
            if len(rows) == CHUNK:
                last = (rows[-1]["started_at"].isoformat(), str(rows[-1]["interaction_id"]), rows[-1]["leg"])
        case "states":
            told: dict[str, set[str]] = {}
            for row in await states.agents_around(session, place.person_id):
                told.setdefault(row["source"], set()).add(row["agent"])
            for slug, agents in sorted(told.items()):
                await derive(session, slug, dict.fromkeys(sorted(agents), 0))
            return None
        case _:
            last = None
    following: dict[Stage, Stage] = {"held": "legs", "legs": "states"}
    if last is not None:
        return Place(place.person_id, place.names, place.stage, last)
    return Place(place.person_id, place.names, following[place.stage])


async def _moved(session: Session, place: Place, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those legs that may have another agent or workday now."""
    if place.names:
        return rows
    workdays = await directory.workdays(session, [place.person_id])
    return [row for row in rows if workdays.of(row["agent_id"], row["started_at"]) != row["workday"]]


async def _merge(session: Session, documents: DocumentStore, found: Iterable[tuple[str, tuple[str, ...]]]) -> None:
    around: dict[str, set[str]] = {}
    for slug, names in found:
        around.setdefault(slug, set()).update(names)
    for slug, names in sorted(around.items()):
        source = await find_source(session, slug)
        if source is not None:
            batch = Batch()
            await merge_parts(session, documents, source, around=sorted(names), batch=batch)
            await batch.write(session, source=slug, receipt_id=None)
