"""Queries of the directory's copy: whom agents' names mean, and what legs were derived from."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from servicekit.directory import build_workdays_sql, parse_workdays
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from ingest.model.roster import DatedPerson, Roster
from ingest.store.sql import to_pg_array
from ingest.store.tables import known_person


class _Name(msgspec.Struct):
    external_id: str
    person_id: UUID
    valid_from: date
    valid_to: date


_decode_names = msgspec.json.Decoder(list[_Name]).decode
_LOAD_ROSTER = f"""
WITH named AS MATERIALIZED (
    SELECT external_id, person_id, valid_from, valid_to FROM directory_external_id
    WHERE tenant = :tenant AND source = :source AND external_id = ANY(cast(:names AS text[])))
SELECT
    {build_workdays_sql("SELECT person_id FROM named")} AS workdays,
    (SELECT coalesce(json_agg(n ORDER BY external_id, valid_from DESC, person_id), '[]')::text FROM named AS n) AS names
"""  # noqa: S608


async def load_roster(session: Session, source: str, names: Iterable[str]) -> Roster:
    """The people whom these names of agents mean, with their workdays."""
    parameters = {"tenant": session.tenant, "source": source, "names": to_pg_array(set(names))}
    ((workdays, dated_names),) = await session.tuples(_LOAD_ROSTER, parameters)
    by_name: dict[str, list[DatedPerson]] = {}
    for name in _decode_names(dated_names):
        by_name.setdefault(name.external_id, []).append((name.person_id, name.valid_from, name.valid_to))
    return Roster(parse_workdays(workdays), by_name)


class KnownPerson(NamedTuple):
    """What a person's legs were derived from: the person's external ids, and the inputs of the person's workdays
    (None: an older release wrote the row)."""

    external_ids: list[dict[str, Any]]
    days: list[Any] | None


async def load_known_people(session: Session, people: Iterable[UUID]) -> dict[UUID, KnownPerson]:
    """What the legs of these people were derived from; unknown people are left out. The nil id stands for nobody."""
    rows = await session.tuples(
        "SELECT person_id, external_ids, days FROM known_person "
        "WHERE tenant = :tenant AND person_id = ANY(cast(:people AS uuid[]))",
        {"tenant": session.tenant, "people": list(people)},
    )
    return {person_id: KnownPerson(external_ids, days) for person_id, external_ids, days in rows}


async def upsert_known_people(session: Session, people: Mapping[UUID, KnownPerson]) -> None:
    """Records what the legs of these people are derived from."""
    if people:
        statement = insert(known_person)
        await session.execute(
            statement.on_conflict_do_update(
                index_elements=["tenant", "person_id"],
                set_={name: statement.excluded[name] for name in ("external_ids", "days")},
            ),
            [
                {"tenant": session.tenant, "person_id": person, "external_ids": ids, "days": days}
                for person, (ids, days) in people.items()
            ],
        )


async def find_people_sharing_names(session: Session, people: Iterable[UUID]) -> list[UUID]:
    """Other people who have, at any time, a name that one of these people has at any time."""
    return await session.scalars(
        "SELECT DISTINCT o.person_id FROM directory_external_id n JOIN directory_external_id o "
        "ON o.tenant = n.tenant AND o.source = n.source AND o.external_id = n.external_id "
        "WHERE n.tenant = :tenant AND n.person_id = ANY(cast(:people AS uuid[])) "
        "AND o.person_id <> ALL(cast(:people AS uuid[])) ORDER BY 1",
        {"tenant": session.tenant, "people": list(people)},
    )


async def load_people_page(session: Session, unit_id: UUID | None, after: UUID | None, limit: int) -> list[UUID]:
    """Ids of people, in order. `unit_id`: only members, at any time, of this org unit or one below it."""
    parameters = {"tenant": session.tenant, "after": after or UUID(int=0), "limit": limit}
    if unit_id is None:
        return await session.scalars(
            "SELECT id FROM directory_person WHERE tenant = :tenant AND id > :after ORDER BY id LIMIT :limit",
            parameters,
        )
    return await session.scalars(
        "SELECT DISTINCT m.person_id FROM directory_membership m "
        "JOIN directory_org_unit u ON u.tenant = m.tenant AND u.id = m.org_unit_id "
        "WHERE m.tenant = :tenant AND :unit = ANY(u.path) AND m.person_id > :after ORDER BY 1 LIMIT :limit",
        parameters | {"unit": unit_id},
    )
