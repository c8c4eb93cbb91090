"""Who changed what, when, from what to what."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from contracts import Attributes
from contracts.audit import ConfigurationChanged
from servicekit import PageQuery, bounded_page
from storage import Session, build_insert, encode_rows_parameter

from identity.model.fields import is_uuid
from identity.store.tables import audit

_KEEP = build_insert(audit, suffix_sql="ON CONFLICT DO NOTHING")  # the same event again


async def insert_entries(session: Session, told: Iterable[tuple[Attributes, ConfigurationChanged]]) -> None:
    await session.run(_KEEP, encode_rows_parameter(_row(attributes, body) for attributes, body in told))


def _row(attributes: Attributes, body: ConfigurationChanged) -> dict[str, Any]:
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
    given: Mapping[str, Any],
    thing: str | None,
    by: str | None,
    since: datetime | None,
    until: datetime | None,
    before: str | None,
    page: PageQuery,
) -> tuple[list[dict[str, Any]], PageQuery]:
    """Newest first, from the one older than the id `before`. `given`: columns that must have these values, where they
    are not None; with the page as `page_of` wants it. `thing`: kind, or kind/ref; `by`: id, slug or tenant/slug."""
    kind, _, ref = (thing or "").partition("/")
    who = by if by is None or "/" in by else f"{session.tenant}/{by}"
    person = by if by is not None and is_uuid(by) else None
    wanted: dict[str, tuple[str, Any]] = {
        **{name: (f"{name} = :{name}", value) for name, value in given.items()},
        "kind": ("kind = :kind", kind or None),
        "ref": ("ref = :ref", ref or None),
        "person": ("actor_id = cast(:person AS uuid)", person),
        "who": ('"by" = :who', None if person else who),
        "since": ("at >= :since", since),
        "until": ("at < :until", until),
        "before": ("id < cast(:before AS uuid)", before),
    }
    found = {name: each for name, each in wanted.items() if each[1] is not None}
    conditions = " AND ".join(["tenant = :tenant", *(condition for condition, _ in found.values())])
    return await bounded_page(
        session,
        f"SELECT * FROM audit WHERE {conditions}",  # noqa: S608
        {"tenant": session.tenant, **{name: value for name, (_, value) in found.items()}},
        page,
        order="id DESC",
        size="coalesce(octet_length(before::text), 0) + coalesce(octet_length(after::text), 0) + 500",
    )
