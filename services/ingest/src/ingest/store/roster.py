"""The part of the directory's copy that a batch needs, and what the directory last said of a person's ids."""

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any
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


_NAMES_OF = msgspec.json.Decoder(list[_Name]).decode
_LOAD_ROSTER = f"""
WITH named AS MATERIALIZED (
    SELECT external_id, person_id, valid_from, valid_to FROM directory_external_id
    WHERE tenant = :tenant AND source = :source AND external_id = ANY(cast(:names AS text[])))
SELECT
    {build_workdays_sql("SELECT person_id FROM named")} AS workdays,
    (SELECT coalesce(json_agg(n ORDER BY external_id, valid_from DESC, person_id), '[]')::text FROM named AS n) AS names
"""  # noqa: S608


async def load_roster(session: Session, source: str, names: Iterable[str]) -> Roster:
    wanted = {"tenant": session.tenant, "source": source, "names": to_pg_array(set(names))}
    (found,) = await session.rows(_LOAD_ROSTER, wanted)
    by_name: dict[str, list[DatedPerson]] = {}
    for name in _NAMES_OF(found["names"]):
        by_name.setdefault(name.external_id, []).append((name.person_id, name.valid_from, name.valid_to))
    return Roster(parse_workdays(found["workdays"]), by_name)


KnownPerson = tuple[list[dict[str, Any]], list[Any] | None]
"""A person's external ids, and what the person's days depend on (None: written by a version that did not keep it)."""


async def load_known_people(session: Session, people: Iterable[UUID]) -> dict[UUID, KnownPerson]:
    """What the legs here were made by; the nil id stands for nobody."""
    rows = await session.rows(
        "SELECT person_id, external_ids, days FROM known_person "
        "WHERE tenant = :tenant AND person_id = ANY(cast(:people AS uuid[]))",
        {"tenant": session.tenant, "people": list(people)},
    )
    return {row["person_id"]: (row["external_ids"], row["days"]) for row in rows}


async def upsert_known_people(session: Session, people: Mapping[UUID, KnownPerson]) -> None:
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
    """Other people who ever bear a name that one of these bears."""
    return await session.scalars(
        "SELECT DISTINCT o.person_id FROM directory_external_id n JOIN directory_external_id o "
        "ON o.tenant = n.tenant AND o.source = n.source AND o.external_id = n.external_id "
        "WHERE n.tenant = :tenant AND n.person_id = ANY(cast(:people AS uuid[])) "
        "AND o.person_id <> ALL(cast(:people AS uuid[])) ORDER BY 1",
        {"tenant": session.tenant, "people": list(people)},
    )


async def load_people_page(session: Session, unit_id: UUID | None, after: UUID | None, limit: int) -> list[UUID]:
    """People in order of id; of those who ever belong to the org unit or to one below it, where one is given."""
    place = {"tenant": session.tenant, "after": after or UUID(int=0), "limit": limit}
    if unit_id is None:
        return await session.scalars(
            "SELECT id FROM directory_person WHERE tenant = :tenant AND id > :after ORDER BY id LIMIT :limit", place
        )
    return await session.scalars(
        "SELECT DISTINCT m.person_id FROM directory_membership m "
        "JOIN directory_org_unit u ON u.tenant = m.tenant AND u.id = m.org_unit_id "
        "WHERE m.tenant = :tenant AND :unit = ANY(u.path) AND m.person_id > :after ORDER BY 1 LIMIT :limit",
        place | {"unit": unit_id},
    )
