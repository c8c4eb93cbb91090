"""Every configuration change is published as an event by the transaction that makes it. identity stores these events.

docs/audit.md defines what counts as a configuration change."""

from collections.abc import Mapping
from typing import Any

from contracts.audit import Actor, ConfigurationChanged, Origin
from contracts.directory import PersonChanged
from pydantic_core import to_jsonable_python
from storage import Session

from servicekit.cooperative import iterate_cooperatively
from servicekit.masking import StateMasker, find_changed_pointers


def record_change(
    session: Session, kind: str, ref: str, *, action: str | None = None, before: Any = None, after: Any = None
) -> None:
    """Publishes that the configuration `kind`/`ref` of this service changed. `before` and `after` are its complete states,
    as models or as JSON; None where it did not or does not exist. Without an `action`, the states decide between created,
    updated and deleted, and equal states publish nothing. With an `action`, the event is always published."""
    old, new = to_jsonable_python(before), to_jsonable_python(after)
    if action is None:
        if old == new:
            return
        action = "created" if old is None else "deleted" if new is None else "updated"
    old_masker, new_masker = StateMasker(), StateMasker()
    event = ConfigurationChanged(
        service=session.service,
        kind=kind,
        ref=ref,
        action=action,
        origin=origin_of(session),
        before=old_masker.mask(old),
        after=new_masker.mask(new),
        changed=[] if old is None or new is None else find_changed_pointers(old, new),
        notes=[*old_masker.describe_cuts("before"), *new_masker.describe_cuts("after")],
    )
    session.emit(event)


async def record_changes(session: Session, kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Calls `record_change` for every ref of a kind whose states are replaced together. `before` and `after`: ref → state."""
    async for ref in iterate_cooperatively(sorted({*before, *after})):
        record_change(session, kind, ref, before=before.get(ref), after=after.get(ref))


def origin_of(session: Session) -> Origin:
    """The origin of the session's changes: the session's own, else the service itself as the actor."""
    service = session.service
    actor = Actor(kind="system", tenant=session.tenant, slug=service, display_name=service)
    return session.origin or Origin(actor=actor)


def actor_of(tenant: str, person: PersonChanged) -> Actor:
    """The actor that audit events name for a person of this tenant."""
    return Actor(kind=person.kind, tenant=tenant, slug=person.slug, display_name=person.display_name, id=person.id)
