"""Published KPI models, and the statements a tenant's models compile to."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from storage import Session

from kpi_engine.model.document import Model, parse_model
from kpi_engine.model.document_text import ModelInvalid
from kpi_engine.store.tables import kpi_head, kpi_model

log = logging.getLogger("uplift.kpi-engine")


@dataclass(frozen=True, eq=False)
class PublishedModel:
    """A published model with its version and its text."""

    model: Model
    version: int
    document: str

    @property
    def kpi(self) -> str:
        """The KPI's slug."""
        return self.model.kpi


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The models of one tenant that are in force, by name."""

    models: Mapping[str, PublishedModel]

    def models_of_kind(self, kind: str) -> list[PublishedModel]:
        """The models over facts of this kind."""
        return [each for each in self.models.values() if each.model.source == kind]

    @cached_property
    def statement_cache(self) -> dict[str, Any]:
        """SQL that the store compiles from these models, by name."""
        return {}


async def load_catalogues(session: Session, tenants: Iterable[str]) -> dict[str, Catalogue]:
    """The catalogues by tenant; tenants without models are left out."""
    rows = await session.rows(
        "SELECT h.tenant, h.kpi, h.version, m.document FROM kpi_head h "
        "JOIN kpi_model m ON m.tenant = h.tenant AND m.kpi = h.kpi AND m.version = h.version "
        "WHERE h.tenant = ANY(cast(:tenants AS text[])) AND NOT h.retired ORDER BY h.tenant, h.kpi",
        {"tenants": sorted(set(tenants))},
    )
    found: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        found.setdefault(row["tenant"], []).append((row["document"], row["version"]))
    return {tenant: await _parse_catalogue_cached(tuple(documents)) for tenant, documents in found.items()}


async def load_catalogue(session: Session) -> Catalogue:
    """The catalogue of the session's one tenant."""
    return (await load_catalogues(session, [session.tenant])).get(session.tenant, Catalogue({}))


async def _parse_catalogue_cached(documents: tuple[tuple[str, int], ...]) -> Catalogue:
    """Parses documents that are not cached in a thread, off the event loop."""
    catalogue = _catalogues.pop(documents, None) or await asyncio.to_thread(_parse_catalogue, documents)
    while len(_catalogues) >= _MAX_CATALOGUES:
        del _catalogues[next(iter(_catalogues))]
    _catalogues[documents] = catalogue  # least recently used first
    return catalogue


_MAX_CATALOGUES = 256
_catalogues: dict[tuple[tuple[str, int], ...], Catalogue] = {}


@lru_cache(maxsize=1024)
def _parse_model_or_none(document: str) -> Model | None:
    """None, and a log record, for a document that an older release accepted and this one does not: the other models still
    count."""
    try:
        return parse_model(document)
    except ModelInvalid as invalid:
        log.error("a published model cannot be used any more, publish it anew: %s", str(invalid)[:500])
        return None


def _parse_catalogue(documents: tuple[tuple[str, int], ...]) -> Catalogue:
    read = [(_parse_model_or_none(document), version, document) for document, version in documents]
    published = [PublishedModel(model, version, document) for model, version, document in read if model is not None]
    return Catalogue({each.kpi: each for each in published})


async def _find_newest_version(session: Session, kpi: str) -> int:
    return int(
        await session.scalar(
            "SELECT coalesce(max(version), 0) FROM kpi_model WHERE tenant = :tenant AND kpi = :kpi",
            {"tenant": session.tenant, "kpi": kpi},
        )
    )


async def next_version(session: Session, model: Model) -> int:
    """The version that publishing `model` would give: that in force when the content is the same, else the next one."""
    now = (await load_catalogue(session)).models.get(model.kpi)
    return (
        now.version
        if now and now.model.content == model.content
        else 1 + await _find_newest_version(session, model.kpi)
    )


async def find_waiting(session: Session, kpi: str) -> str | None:
    """The document of a version that is scheduled or being computed, and not in force yet; else None."""
    return await session.scalar(
        "SELECT body ->> 'document' FROM due_item WHERE tenant = :tenant AND kind = 'publish' AND ref = :kpi",
        {"tenant": session.tenant, "kpi": kpi},
    )


async def insert_version(session: Session, model: Model, document: str, by: UUID | None) -> int:
    """Inserts `model` as a new version and puts it in force. Returns the version."""
    version = 1 + await _find_newest_version(session, model.kpi)
    key = {"tenant": session.tenant, "kpi": model.kpi, "version": version}
    await session.execute(
        insert(kpi_model).values(
            **key, document=document, content=model.content, published_at=session.now, published_by=by
        )
    )
    head = insert(kpi_head).values(**key, retired=False)
    await session.execute(
        head.on_conflict_do_update(index_elements=["tenant", "kpi"], set_={"version": version, "retired": False})
    )
    return version


async def find_retired(session: Session, kpi: str) -> PublishedModel | None:
    """The last version of a retired model; None when it is in force or unknown."""
    rows = await session.rows(
        "SELECT m.document, h.version FROM kpi_head h JOIN kpi_model m ON m.tenant = h.tenant AND m.kpi = h.kpi "
        "AND m.version = h.version WHERE h.tenant = :tenant AND h.kpi = :kpi AND h.retired",
        {"tenant": session.tenant, "kpi": kpi},
    )
    documents = tuple((row["document"], row["version"]) for row in rows)
    return (await _parse_catalogue_cached(documents)).models.get(kpi) if documents else None


async def retire_model(session: Session, kpi: str) -> None:
    """Retires the model and deletes its partials; its versions and published bands stay."""
    key = {"tenant": session.tenant, "kpi": kpi}
    await session.execute("UPDATE kpi_head SET retired = true WHERE tenant = :tenant AND kpi = :kpi", key)
    await session.execute("DELETE FROM partial WHERE tenant = :tenant AND kpi = :kpi", key)
