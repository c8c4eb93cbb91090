"""Blueprint versions, which never change, and the last answer of each service about its section."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import case, select
from sqlalchemy import func as sql
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from identity.model.blueprints import SectionAnswer
from identity.store.tables import blueprint, section


@dataclass(frozen=True, slots=True)
class BlueprintVersion:
    """A published version. `digest` is that of name and sections; `sections` are documents by service; `published_by` is
    `tenant/slug` of a person."""

    version: int
    name: str
    digest: str
    sections: dict[str, Any]
    published_at: datetime
    published_by: str


_VERSIONS = select(*(blueprint.c[name] for name in BlueprintVersion.__dataclass_fields__))
_ANSWERS = select(*(section.c[name] for name in SectionAnswer.__dataclass_fields__))


async def find_newest_version(session: Session) -> BlueprintVersion | None:
    """The tenant's newest version; None before the first."""
    row = await session.row(
        _VERSIONS.where(blueprint.c.tenant == session.tenant).order_by(blueprint.c.version.desc()).limit(1)
    )
    return BlueprintVersion(**row) if row else None


async def find_version(session: Session, version: int) -> BlueprintVersion | None:
    """The tenant's version of that number; None when there is none."""
    row = await session.row(_VERSIONS.where(blueprint.c.tenant == session.tenant, blueprint.c.version == version))
    return BlueprintVersion(**row) if row else None


async def add_version(
    session: Session, *, version: int, name: str, digest: str, sections: dict[str, Any], by: str
) -> None:
    """Inserts a version, published at the session's now by `by` (`tenant/slug`)."""
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


async def list_section_answers(session: Session) -> dict[str, SectionAnswer]:
    """The last answer of each service that has answered, by service."""
    rows = await session.rows(_ANSWERS.where(section.c.tenant == session.tenant))
    return {row["service"]: SectionAnswer(**row) for row in rows}


async def record_section_applied(
    session: Session,
    service: str,
    version: int | None,
    content: dict[str, Any] | None,
    event_id: UUID | None = None,
) -> None:
    """Stores that the service has applied its section. `version` None: the section was edited through the API since the
    last blueprint. Answers may arrive out of order: content of an older event and a lower version change nothing."""
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
    """Stores that the service has rejected its section of `version`, unless it has answered to a later one. `problems` are
    `SectionProblem`s as JSON."""
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
