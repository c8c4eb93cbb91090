"""Each change of configuration is published as an event by the transaction that makes it; identity stores them all.

docs/audit.md says what a change of configuration is."""

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
    as models or as JSON; None where there is none. Without an `action` it is created, updated or deleted, as the states
    say, and nothing is published when they are equal; with an `action` the event is always published."""
    old, new = to_jsonable_python(before), to_jsonable_python(after)
    if action is None:
        if old == new:
            return
        action = "created" if old is None else "deleted" if new is None else "updated"
    then, now = StateMasker(), StateMasker()
    event = ConfigurationChanged(
        service=session.service,
        kind=kind,
        ref=ref,
        action=action,
        origin=origin_of(session),
        before=then.mask(old),
        after=now.mask(new),
        changed=[] if old is None or new is None else find_changed_pointers(old, new),
        notes=[*then.describe_cuts("before"), *now.describe_cuts("after")],
    )
    session.emit(event)


async def record_changes(session: Session, kind: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """As `record_change`, for all states of a kind by their refs, when they are replaced as a whole."""
    async for ref in iterate_cooperatively(sorted({*before, *after})):
        record_change(session, kind, ref, before=before.get(ref), after=after.get(ref))


def origin_of(session: Session) -> Origin:
    """On whose behalf the session works: where nobody is known, it is the service's own doing."""
    service = session.service
    actor = Actor(kind="system", tenant=session.tenant, slug=service, display_name=service)
    return session.origin or Origin(actor=actor)


def actor_of(tenant: str, person: PersonChanged) -> Actor:
    return Actor(kind=person.kind, tenant=tenant, slug=person.slug, display_name=person.display_name, id=person.id)
