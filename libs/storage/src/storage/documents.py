"""Documents: large, nested JSON whose shape others decide. Immutable, addressed by id, written before the SQL commit."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import bson
from sqlalchemy import ARRAY, Text, and_, any_, cast, delete, select, true
from sqlalchemy.dialects.postgresql import insert

from storage.session import Session
from storage.sessions import Sessions
from storage.tables import document

MAX_DOCUMENT_BYTES = 16_000_000
"""Limit of a document's body and blob together. MongoDB's limit is 16 MiB, which includes the fields that the store adds."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class DocumentCorrupted(Exception):
    """The blob of a document is not the one that was written: its SHA-256 differs."""


@dataclass(frozen=True, slots=True)
class Document:
    """`body` is JSON within the limits of `validate_document`. `blob` holds raw bytes that are stored with it."""

    id: str
    body: Mapping[str, Any]
    blob: bytes | None = None

    @property
    def sha256(self) -> str | None:
        """Hex SHA-256 of the blob; None without one."""
        return None if self.blob is None else hashlib.sha256(self.blob).hexdigest()


class DocumentStore(Protocol):
    """Documents by tenant and collection. Raises ConnectionError when the store cannot be reached."""

    async def put(self, tenant: str, collection: str, documents: Sequence[Document]) -> None:
        """Writes documents; they are durable on return. An id that exists keeps its document. Raises ValueError as
        `validate_document` does, and then writes none."""
        ...

    async def get(self, tenant: str, collection: str, ids: Sequence[str]) -> dict[str, Document]:
        """The documents that exist, by id. Raises DocumentCorrupted."""
        ...

    async def find(
        self, tenant: str, collection: str, where: Mapping[str, str], *, after: str | None = None, limit: int = 100
    ) -> list[Document]:
        """Documents whose top-level text fields equal `where`, ordered by id, beginning after the id `after`. Raises
        DocumentCorrupted."""
        ...

    async def delete(self, tenant: str, collection: str, ids: Sequence[str]) -> None:
        """Removes the documents that exist."""
        ...

    async def ids_before(
        self,
        tenant: str,
        collection: str,
        before: datetime,
        *,
        since: datetime | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> list[str]:
        """Ids of documents written in [`since`, `before`), in order, beginning after the id `after`. For the sweeper."""
        ...

    async def close(self) -> None:
        """Closes the connections; the store cannot be used afterwards."""
        ...


def validate_document(document: Document) -> None:
    """Raises ValueError for a document that not every implementation can store: dotted or `$` keys, a list directly in a
    list, NaN and infinities, integers beyond 64 bits, NUL and lone surrogates in text, more than `MAX_DOCUMENT_BYTES`."""
    validate_body(document.body)
    size = len(bson.encode(document.body)) + len(document.blob or b"")
    if size > MAX_DOCUMENT_BYTES:
        raise ValueError(f"a document may have {MAX_DOCUMENT_BYTES:,} bytes; {document.id} has {size:,}")


def restore_document(id: str, body: Mapping[str, Any], blob: bytes | None, sha256: str | None) -> Document:
    """A document from its stored parts. Raises DocumentCorrupted when the blob does not match `sha256`."""
    restored = Document(id, body, blob)
    if restored.sha256 != sha256:
        raise DocumentCorrupted(
            f"the bytes of document {id} have the sum {restored.sha256}, and were written as {sha256}"
        )
    return restored


def validate_body(body: Mapping[str, Any], where: str = "") -> None:
    """`validate_document` for the keys and values of a body; `where` is the path to it, for the error."""
    for key, value in body.items():
        if "." in key or key.startswith("$"):
            raise ValueError(f"a document's key may not hold a dot or begin with $: {where}{key!r}")
        _check_value(key, where)
        _check_value(value, f"{where}{key}/")


def _check_value(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        validate_body(value, where)  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list | tuple):
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            if isinstance(item, list | tuple):
                raise ValueError(f"a document may not hold a list directly in a list: {where}")
            _check_value(item, where)
    elif isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        raise ValueError(f"a document may not hold {value}: {where}")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError(f"a document may not hold an integer beyond 64 bits: {where}")
    elif isinstance(value, str) and ("\x00" in value or _SURROGATE.search(value)):
        raise ValueError(f"a document may not hold NUL or half a surrogate pair: {where}")


class JsonbDocumentStore:
    """The embedded implementation: a table in the service's own schema, under row-level security. Each call has a
    transaction of its own, so that documents behave as they do in MongoDB."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def _begin(self, tenant: str) -> Any:
        return self._sessions.begin([tenant], now=datetime.min)

    async def put(self, tenant: str, collection: str, documents: Sequence[Document]) -> None:
        """See `DocumentStore.put`."""
        if not documents:
            return
        for each in documents:
            validate_document(each)
        rows = [
            {"tenant": tenant, "collection": collection, "id": each.id, "body": dict(each.body), "blob": each.blob,
             "sha256": each.sha256}
            for each in documents
        ]  # fmt: skip
        async with self._begin(tenant) as session:
            # Blobs are binary, so not `insert_rows`, which sends JSON.
            await session.execute(insert(document).on_conflict_do_nothing(), rows)

    async def get(self, tenant: str, collection: str, ids: Sequence[str]) -> dict[str, Document]:
        """See `DocumentStore.get`."""
        async with self._begin(tenant) as session:
            found = await self._select(session, tenant, collection, document.c.id == any_(cast(list(ids), ARRAY(Text))))
        return {each.id: each for each in found}

    async def find(
        self, tenant: str, collection: str, where: Mapping[str, str], *, after: str | None = None, limit: int = 100
    ) -> list[Document]:
        """See `DocumentStore.find`."""
        condition = and_(true(), *(document.c.body[name].astext == value for name, value in where.items()))
        if after is not None:
            condition = and_(condition, document.c.id > after)
        async with self._begin(tenant) as session:
            return await self._select(session, tenant, collection, condition, limit)

    async def _select(
        self, session: Session, tenant: str, collection: str, condition: Any, limit: int | None = None
    ) -> list[Document]:
        statement = (
            select(document.c.id, document.c.body, document.c.blob, document.c.sha256)
            .where(document.c.tenant == tenant, document.c.collection == collection, condition)
            .order_by(document.c.id)
            .limit(limit)
        )
        return [restore_document(**row) for row in await session.rows(statement)]

    async def delete(self, tenant: str, collection: str, ids: Sequence[str]) -> None:
        """See `DocumentStore.delete`."""
        async with self._begin(tenant) as session:
            await session.execute(
                delete(document).where(
                    document.c.tenant == tenant,
                    document.c.collection == collection,
                    document.c.id == any_(cast(list(ids), ARRAY(Text))),
                )
            )

    async def ids_before(
        self,
        tenant: str,
        collection: str,
        before: datetime,
        *,
        since: datetime | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> list[str]:
        """See `DocumentStore.ids_before`."""
        statement = (
            select(cast(document.c.id, Text))
            .where(document.c.tenant == tenant, document.c.collection == collection, document.c.created_at < before)
            .order_by(document.c.id)
            .limit(limit)
        )
        if since is not None:
            statement = statement.where(document.c.created_at >= since)
        if after is not None:
            statement = statement.where(document.c.id > after)
        async with self._begin(tenant) as session:
            return list((await session.execute(statement)).scalars())

    async def close(self) -> None:
        """Does nothing: whoever created the engine disposes of it."""
