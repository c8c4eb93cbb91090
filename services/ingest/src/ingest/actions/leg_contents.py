"""What versions of legs say: one document for the new ones of a transaction, gzip NDJSON, one line a version.

They lie in the collection of the raw records that they came from, so that both are written in one round trip.
"""

import gzip
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from contracts import new_id
from storage import Document, DocumentCorrupted, DocumentStore

from ingest.actions.archive import RAW

MAX_DOCUMENT_BYTES = 8 << 20  # bytes of text in a document: whatever they are, gzipped they are less than it may have


def pack_contents(contents: Sequence[bytes]) -> tuple[list[Document], list[dict[str, Any]]]:
    """Documents, and of each content the columns that say where it lies: in one of them, or in the row if it is larger
    than a document."""
    documents: list[Document] = []
    places: list[dict[str, Any]] = []
    held: list[bytes] = []
    id, size = new_id(), 0
    for content in contents:
        if len(content) > MAX_DOCUMENT_BYTES:
            places.append({"content": msgspec.Raw(content)})
            continue
        if size + len(content) > MAX_DOCUMENT_BYTES:
            documents.append(_document(id, held))
            id, size, held = new_id(), 0, []
        places.append({"document": id, "position": len(held)})
        held.append(content)
        size += len(content) + 1
    if held:
        documents.append(_document(id, held))
    return documents, places


def _document(id: UUID, contents: list[bytes]) -> Document:
    return Document(str(id), {"versions": len(contents)}, gzip.compress(b"\n".join(contents), 1, mtime=0))


async def load_contents(documents: DocumentStore, tenant: str, rows: Sequence[dict[str, Any]]) -> None:
    """Puts the content, as bytes of JSON, into rows that say where it lies. Each document is fetched once. Raises
    DocumentDamaged."""
    names = {str(row["document"]) for row in rows if row["document"] is not None}
    found = await documents.get(tenant, RAW, sorted(names)) if names else {}
    if missing := names - found.keys():
        raise DocumentCorrupted(f"documents of legs that rows name are missing: {', '.join(sorted(missing)[:5])}")
    for name, document in found.items():  # one after the other: unpacked they are large
        lines = gzip.decompress(document.blob or b"").split(b"\n")
        for row in rows:
            if str(row["document"]) == name:
                row["content"] = lines[row["position"]]
    for row in rows:
        if row["document"] is None:
            row["content"] = row["content"].encode()
