"""The audit log: who changed what, when, with the state before and after."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts import Attributes
from contracts.audit import ConfigurationChanged
from servicekit import PageQuery, bounded_page
from storage import InsertSpec, Session

from identity.model.fields import is_uuid
from identity.store.tables import audit

_INSERT = InsertSpec(audit, suffix_sql="ON CONFLICT DO NOTHING")  # an event may be delivered twice


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry of the log. `actor` is a `contracts.audit.Actor` as JSON; `before` and `after` are any JSON."""

    id: UUID
    at: datetime
    service: str
    kind: str
    ref: str
    action: str
    actor: dict[str, Any]
    request_id: str | None
    correlation_id: UUID | None
    blueprint_version: int | None
    before: Any
    after: Any
    changed: list[str]
    notes: list[str]


_COLUMNS = tuple(AuditRow.__dataclass_fields__)


async def insert_entries(session: Session, events: Iterable[tuple[Attributes, ConfigurationChanged]]) -> None:
    """Adds an entry for each event, with the event's id; an entry that exists already stays as it is."""
    await session.insert_rows(_INSERT, (_to_columns(attributes, body) for attributes, body in events))


def _to_columns(attributes: Attributes, body: ConfigurationChanged) -> dict[str, Any]:
    actor = body.origin.actor
    return {
        "tenant": attributes.tenant,
        "id": attributes.id,
        "at": attributes.time,
        "by": f"{actor.tenant}/{actor.slug}",
        "actor": actor,
        "actor_id": actor.id,
        "request_id": body.origin.request_id,
        "correlation_id": attributes.correlationid,
        "blueprint_version": body.origin.blueprint_version,
        **body.model_dump(exclude={"origin"}),
    }


async def list_entries(
    session: Session,
    *,
    equals: Mapping[str, Any],
    target: str | None,
    by: str | None,
    since: datetime | None,
    until: datetime | None,
    before: str | None,
    page: PageQuery,
) -> tuple[list[AuditRow], PageQuery]:
    """Entries newest first, and the page query to pass to `page_of`. Filters that are None do not apply. `equals`: values
    by column; `target`: `kind` or `kind/ref`; `by`: the actor's id, slug or `tenant/slug`; `since` inclusive, `until`
    exclusive; `before`: only entries whose id is smaller."""
    kind, _, ref = (target or "").partition("/")
    who = by if by is None or "/" in by else f"{session.tenant}/{by}"
    person = by if by is not None and is_uuid(by) else None
    filters: dict[str, tuple[str, Any]] = {
        **{name: (f"{name} = :{name}", value) for name, value in equals.items()},
        "kind": ("kind = :kind", kind or None),
        "ref": ("ref = :ref", ref or None),
        "person": ("actor_id = cast(:person AS uuid)", person),
        "who": ('"by" = :who', None if person else who),
        "since": ("at >= :since", since),
        "until": ("at < :until", until),
        "before": ("id < cast(:before AS uuid)", before),
    }
    applied = {name: each for name, each in filters.items() if each[1] is not None}
    conditions = " AND ".join(["tenant = :tenant", *(condition for condition, _ in applied.values())])
    rows, page = await bounded_page(
        session,
        f"SELECT * FROM audit WHERE {conditions}",  # noqa: S608
        {"tenant": session.tenant, **{name: value for name, (_, value) in applied.items()}},
        page,
        order="id DESC",
        size="coalesce(octet_length(before::text), 0) + coalesce(octet_length(after::text), 0) + 500",
    )
    return [AuditRow(**{name: row[name] for name in _COLUMNS}) for row in rows], page
