"""Documents: what is large, nested and shaped by others. Immutable, addressed by id, written before the SQL commit."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import bson
from sqlalchemy import ARRAY, Text, and_, any_, cast, delete, select, true
from sqlalchemy.dialects.postgresql import insert

from storage.session import Session, Sessions
from storage.tables import document

MAX_DOCUMENT_BYTES = 16_000_000
"""The most that a document's body and blob may have together: MongoDB takes 16 MiB, and some of it is the frame."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class DocumentCorrupted(Exception):
    """The bytes of a document are not those that were written: their sum differs."""


@dataclass(frozen=True, slots=True)
class Document:
    """`body` is JSON, without what `check` refuses; `blob` are raw bytes beside it."""

    id: str
    body: Mapping[str, Any]
    blob: bytes | None = None

    @property
    def sha256(self) -> str | None:
        return None if self.blob is None else hashlib.sha256(self.blob).hexdigest()


class DocumentStore(Protocol):
    async def put(self, tenant: str, collection: str, documents: Sequence[Document]) -> None:
        """Durable on return. An id that exists keeps what it has: documents never change. Raises ValueError for what
        not every implementation can keep, and then nothing of it is written."""
        ...

    async def get(self, tenant: str, collection: str, ids: Sequence[str]) -> dict[str, Document]:
        """Those that exist, by id. Raises DocumentDamaged."""
        ...

    async def find(
        self, tenant: str, collection: str, where: Mapping[str, str], *, after: str | None = None, limit: int = 100
    ) -> list[Document]:
        """Documents whose top-level fields equal `where`, by id, from the one after `after`."""
        ...

    async def delete(self, tenant: str, collection: str, ids: Sequence[str]) -> None: ...

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
        """Ids of documents written before that instant and not before `since`, in order, from the one after `after`:
        for the sweeper that removes what nothing points to."""
        ...

    async def close(self) -> None:
        """Lets go of its connections. It is of no use afterwards."""
        ...


def validate_document(document: Document) -> None:
    """Raises ValueError for what not every implementation can keep: dotted or `$` keys, a list directly in a list, NaN
    and infinities, integers beyond 64 bits, NUL and half surrogate pairs in text, more than `MAX_DOCUMENT_BYTES`."""
    validate_body(document.body)
    size = len(bson.encode(document.body)) + len(document.blob or b"")
    if size > MAX_DOCUMENT_BYTES:
        raise ValueError(f"a document may have {MAX_DOCUMENT_BYTES:,} bytes; {document.id} has {size:,}")


def restore_document(id: str, body: Mapping[str, Any], blob: bytes | None, sha256: str | None) -> Document:
    """A document as it was found. Raises DocumentDamaged."""
    found = Document(id, body, blob)
    if found.sha256 != sha256:
        raise DocumentCorrupted(f"the bytes of document {id} have the sum {found.sha256}, and were written as {sha256}")
    return found


def validate_body(body: Mapping[str, Any], where: str = "") -> None:
    """`check` for a body's values; `where` is the path to it."""
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
    """The embedded implementation: a table in the service's own schema, walled off by tenant like any other. It has
    its own transactions, so that a document behaves the same here as in another database."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def _begin(self, tenant: str) -> Any:
        return self._sessions.begin([tenant], now=datetime.min)

    async def put(self, tenant: str, collection: str, documents: Sequence[Document]) -> None:
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
            await session.execute(insert(document).on_conflict_do_nothing(), rows)

    async def get(self, tenant: str, collection: str, ids: Sequence[str]) -> dict[str, Document]:
        async with self._begin(tenant) as session:
            found = await self._select(session, tenant, collection, document.c.id == any_(cast(list(ids), ARRAY(Text))))
        return {each.id: each for each in found}

    async def find(
        self, tenant: str, collection: str, where: Mapping[str, str], *, after: str | None = None, limit: int = 100
    ) -> list[Document]:
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
        """The engine is its owner's."""
