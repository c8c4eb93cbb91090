"""When the directory names an agent, what waited for the name takes effect; when a name moves, so do the legs."""

from contracts.directory import PersonChanged
from storage import DocumentStore, Session

from ingest.actions.merging import merge_parts
from ingest.actions.sources import load_source
from ingest.actions.states import derive
from ingest.store import interactions, roster, states
from ingest.store.bulk import Batch

CHUNK = 1000


async def on_person(session: Session, documents: DocumentStore, person: PersonChanged) -> None:
    """Derives again what waits for one of the person's ids, and, when these ids changed, what bears the person's name."""
    ids = sorted((each.model_dump(mode="json") for each in person.external_ids), key=str)
    before = await roster.remember_ids(session, person.id, ids)
    if before == ids or (before is None and not ids):
        return
    # A merge under way may not know the name yet and be about to hold what waits for it: let it finish first.
    await interactions.alone(session)
    names: dict[str, list[str]] = {}
    for each in person.external_ids:
        names.setdefault(each.source, []).append(each.external_id)
    waiting = await interactions.waiting_for(session, names) if names else []
    agents = await states.agents_named(session, names) if names else []
    roots: dict[str, set[str]] = {}
    told: dict[str, set[str]] = {}
    for row in agents:
        told.setdefault(row["source"], set()).add(row["agent"])
    for row in waiting:
        if row["contact"] not in told.get(row["source"], ()):
            roots.setdefault(row["source"], set()).update((row["root"], row["contact"]))
    if before is not None:
        for row in await interactions.roots_of_agent(session, person.id):
            roots.setdefault(row["source"], set()).add(row["root"])
        for row in await states.agents_of_person(session, person.id):
            told.setdefault(row["source"], set()).add(row["agent"])
    for slug in sorted(roots.keys() | told.keys()):
        source = await load_source(session, slug)
        if source is None:
            continue
        around = sorted(roots.get(slug, ()))
        for begin in range(0, len(around), CHUNK):
            batch = Batch()
            await merge_parts(session, documents, source, around=around[begin : begin + CHUNK], batch=batch)
            await batch.write(session, source=slug, receipt_id=None)
        if found := told.get(slug):
            await derive(session, slug, dict.fromkeys(sorted(found), 0))
