"""The spool: bodies that are accepted now and read later, stored in pieces."""

from collections.abc import AsyncIterator
from uuid import UUID

from storage import Document, DocumentStore

from ingest.actions import archive

PIECE_BYTES = 1 << 20


class Spool:
    """Stores the bodies of receipts in pieces, as documents."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def write_piece(self, tenant: str, receipt_id: UUID, number: int, data: bytes) -> None:
        """Stores piece `number` of a body, counted from 0."""
        document = Document(_name(receipt_id, number), {"receipt": str(receipt_id)}, data)
        await self._documents.put(tenant, archive.SPOOL, [document])

    async def read_body(self, tenant: str, receipt_id: UUID) -> AsyncIterator[bytes]:
        """The pieces of a body, in order; none when it is not stored."""
        number = 0
        while True:
            name = _name(receipt_id, number)
            found = await self._documents.get(tenant, archive.SPOOL, [name])
            if name not in found:
                return
            yield found[name].blob or b""
            number += 1

    async def delete_body(self, tenant: str, receipt_id: UUID) -> None:
        """Deletes all pieces of a body."""
        while found := await self._documents.find(tenant, archive.SPOOL, {"receipt": str(receipt_id)}, limit=20):
            await self._documents.delete(tenant, archive.SPOOL, [each.id for each in found])


def _name(receipt_id: UUID, number: int) -> str:
    return f"{receipt_id}-{number:06d}"
