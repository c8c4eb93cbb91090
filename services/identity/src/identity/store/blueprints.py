"""Blueprint versions, which never change, and what each service answered."""

from typing import Any
from uuid import UUID

from sqlalchemy import case, select
from sqlalchemy import func as sql
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from identity.store.tables import blueprint, section


async def find_newest_version(session: Session) -> dict[str, Any] | None:
    return await session.row(
        select(blueprint).where(blueprint.c.tenant == session.tenant).order_by(blueprint.c.version.desc()).limit(1)
    )


async def find_version(session: Session, version: int) -> dict[str, Any] | None:
    return await session.row(
        select(blueprint).where(blueprint.c.tenant == session.tenant, blueprint.c.version == version)
    )


async def add_version(
    session: Session, *, version: int, name: str, digest: str, sections: dict[str, Any], by: str
) -> None:
    await session.execute(
        insert(blueprint).values(
            tenant=session.tenant,
            version=version,
            name=name,
            digest=digest,
            sections=sections,
            published_at=session.now,
            published_by=by,
        )
    )


async def list_section_answers(session: Session) -> dict[str, dict[str, Any]]:
    """What each service answered last, by service."""
    rows = await session.rows(select(section).where(section.c.tenant == session.tenant))
    return {row["service"]: row for row in rows}


async def record_section_applied(
    session: Session,
    service: str,
    version: int | None,
    content: dict[str, Any] | None,
    event_id: UUID | None = None,
) -> None:
    """`version` None: edited since. The newest content is kept, and the newest version; an answer may come late."""
    statement = insert(section).values(
        tenant=session.tenant,
        service=service,
        applied_version=version,
        problems=[],
        content=content,
        event_id=event_id,
    )
    new, old = statement.excluded, section.c
    is_later = old.event_id.is_(None) | new.event_id.is_(None) | (old.event_id <= new.event_id)
    is_newest = is_later & sql.coalesce(old.applied_version <= new.applied_version, True)
    settles = sql.coalesce(new.applied_version >= old.rejected_version, False)
    changes: dict[str, Any] = {
        "content": case((is_newest, new.content), else_=old.content),
        "event_id": case((is_newest, sql.coalesce(new.event_id, old.event_id)), else_=old.event_id),
        "applied_version": sql.greatest(old.applied_version, new.applied_version),
        "rejected_version": case((settles, None), else_=old.rejected_version),
        "problems": case((settles, new.problems), else_=old.problems),
    }
    await session.execute(statement.on_conflict_do_update(index_elements=["tenant", "service"], set_=changes))


async def record_section_rejected(session: Session, service: str, version: int, problems: list[dict[str, Any]]) -> None:
    statement = insert(section).values(
        tenant=session.tenant, service=service, rejected_version=version, problems=problems
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=["tenant", "service"],
            set_={"rejected_version": version, "problems": problems},
            where=(sql.coalesce(section.c.rejected_version, 0) <= version)
            & (sql.coalesce(section.c.applied_version, 0) < version),
        )
    )
