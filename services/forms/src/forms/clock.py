"""The clock door: removes documents that no row refers to."""

from functools import partial

from servicekit.service_definition import DueHandler
from storage import DocumentStore, Sweeper

from forms import store


def handlers(documents: DocumentStore) -> dict[str, DueHandler]:
    """Handlers by kind of due item: `sweep` looks for unused documents, `discard` removes one."""
    collections = (store.DEFINITIONS, store.SUBMISSIONS)
    sweeper = Sweeper(documents, {each: partial(store.find_unused_documents, collection=each) for each in collections})
    return {"sweep": sweeper.on_sweep, "discard": sweeper.on_discard}
