"""Documents in MongoDB: one database per service, the tenant first in every key."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from bson import Int64
from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorCollection
from pymongo.errors import BulkWriteError, ConnectionFailure, ExecutionTimeout, WTimeoutError

from storage.documents import Document, restore_document, validate_document
from storage.engine import schema_name

# A request holds a database connection while it waits for an unreachable store, so it must fail soon.
_CONNECT_TIMEOUT_MS = 3_000
_SOCKET_TIMEOUT_MS = 30_000
_ID_CHUNK_SIZE = 10_000
_DUPLICATE = 11000

Row = dict[str, Any]
Collection = AsyncIOMotorCollection[Row]


class _PlainInteger(TypeDecoder):
    """Decodes 64-bit integers as `int`, as they were encoded."""

    @property
    def bson_type(self) -> Any:
        return Int64

    def transform_bson(self, value: Any) -> int:
        return int(value)


_OPTIONS: CodecOptions[Row] = CodecOptions(tz_aware=True, type_registry=TypeRegistry([_PlainInteger()]))


class MongoDocumentStore:
    """The implementation for a cluster. It belongs to the event loop that first uses it.

    `url` is a MongoDB URL. The database's name is `<database>_<service>`, with the database of the URL or else `uplift`. A
    row is `_id` (tenant, comma, id: no tenant's name holds a comma), `tenant`, `at`, `body`,
    `blob`, `sha256`. Writes are acknowledged by a majority's journals. Transactions, TTL and partial indexes are not used.
    The methods are those of `DocumentStore`.
    """

    def __init__(self, url: str, service: str) -> None:
        self._client: AsyncIOMotorClient[Row] = AsyncIOMotorClient(
            url,
            w="majority",
            journal=True,
            serverSelectionTimeoutMS=_CONNECT_TIMEOUT_MS,
            connectTimeoutMS=_CONNECT_TIMEOUT_MS,
            socketTimeoutMS=_SOCKET_TIMEOUT_MS,
            appname=f"uplift-{service}",
        )
        prefix = self._client.get_default_database("uplift").name
        self.database = f"{prefix}_{schema_name(service)}"
        self._indexed: set[tuple[str, ...]] = set()

    def _collection(self, name: str) -> Collection:
        return self._client[self.database].get_collection(name, codec_options=_OPTIONS)

    async def _ensure_index(self, collection: str, *fields: str) -> None:
        """Creates an index if it is missing, once per process: asking costs a round trip."""
        if (collection, *fields) not in self._indexed:
            await self._collection(collection).create_index([(field, 1) for field in fields])
            self._indexed.add((collection, *fields))

    async def put(self, tenant: str, collection: str, documents: Sequence[Document]) -> None:
        """See `DocumentStore.put`. Of documents with the same id the first is written."""
        for each in documents:
            validate_document(each)
        at = datetime.now(UTC)
        first = {each.id: each for each in reversed(documents)}
        rows = [
            {"_id": _key(tenant, each.id), "tenant": tenant, "at": at, "body": dict(each.body), "blob": each.blob,
             "sha256": each.sha256}
            for each in first.values()
        ]  # fmt: skip
        if not rows:
            return
        with _unreachable_as_connection_error():
            await self._ensure_index(collection, "tenant", "at", "_id")
            try:
                await self._collection(collection).insert_many(rows, ordered=False)
            except BulkWriteError as error:
                _raise_unless_duplicates(collection, error)

    async def get(self, tenant: str, collection: str, ids: Sequence[str]) -> dict[str, Document]:
        """See `DocumentStore.get`."""
        found: dict[str, Document] = {}
        with _unreachable_as_connection_error():
            for keys in _id_chunks(tenant, ids):
                async for row in self._collection(collection).find({"_id": keys}):
                    each = _document(tenant, row)
                    found[each.id] = each
        return found

    async def find(
        self, tenant: str, collection: str, where: Mapping[str, str], *, after: str | None = None, limit: int = 100
    ) -> list[Document]:
        """See `DocumentStore.find`. Creates an index on the fields of `where`."""
        condition: Row = {"tenant": tenant, **{f"body.{name}": value for name, value in where.items()}}
        if after is not None:
            condition["_id"] = {"$gt": _key(tenant, after)}
        with _unreachable_as_connection_error():
            if where:
                await self._ensure_index(collection, "tenant", *(f"body.{name}" for name in sorted(where)), "_id")
            cursor = self._collection(collection).find(condition, sort=[("_id", 1)], limit=limit)
            return [_document(tenant, row) async for row in cursor]

    async def delete(self, tenant: str, collection: str, ids: Sequence[str]) -> None:
        """See `DocumentStore.delete`."""
        with _unreachable_as_connection_error():
            for keys in _id_chunks(tenant, ids):
                await self._collection(collection).delete_many({"_id": keys})

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
        condition: Row = {"tenant": tenant, "at": {"$lt": before} | ({"$gte": since} if since else {})}
        if after is not None:
            condition["_id"] = {"$gt": _key(tenant, after)}
        with _unreachable_as_connection_error():
            cursor = self._collection(collection).find(condition, {"_id": 1}, sort=[("_id", 1)], limit=limit)
            return [_id(tenant, row) async for row in cursor]

    async def close(self) -> None:
        """Closes the client."""
        self._client.close()


def _key(tenant: str, id: str) -> str:
    return f"{tenant},{id}"


def _id(tenant: str, row: Row) -> str:
    return row["_id"][len(tenant) + 1 :]


def _id_chunks(tenant: str, ids: Sequence[str]) -> Iterator[Any]:
    """Conditions on `_id`, each small enough for one command."""
    keys = [_key(tenant, each) for each in ids]
    if len(keys) == 1:
        yield keys[0]  # FerretDB uses its index for this one, and scans the collection for an $in
        return
    for begin in range(0, len(keys), _ID_CHUNK_SIZE):
        yield {"$in": keys[begin : begin + _ID_CHUNK_SIZE]}


def _document(tenant: str, row: Row) -> Document:
    return restore_document(_id(tenant, row), row["body"], row["blob"], row["sha256"])


def _raise_unless_duplicates(collection: str, error: BulkWriteError) -> None:
    """Raises RuntimeError unless all refused documents exist already. The driver's own error would show documents."""
    errors: list[Row] = error.details.get("writeErrors", [])
    codes = sorted({int(each["code"]) for each in errors} - {_DUPLICATE})
    if codes:
        raise RuntimeError(f"MongoDB refused documents of {collection} with codes {codes}") from None
    if error.details.get("writeConcernErrors"):
        raise ConnectionError("the document store did not confirm a write") from None


@contextmanager
def _unreachable_as_connection_error() -> Generator[None]:
    """Raises ConnectionError when the store cannot be reached, so that doors and consumers retry."""
    try:
        yield
    except (ConnectionFailure, ExecutionTimeout, WTimeoutError) as error:
        raise ConnectionError(f"the document store cannot be reached ({type(error).__name__})") from error
