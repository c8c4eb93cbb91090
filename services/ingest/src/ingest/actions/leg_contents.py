"""The contents of leg versions: one document for the new versions of a transaction, gzip NDJSON, one line a version.

The documents are in the collection of the raw records, so that both are written in one round trip.
"""

import gzip
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import msgspec
from contracts import new_id
from storage import Document, DocumentCorrupted, DocumentStore

from ingest.actions.archive import RAW
from ingest.store.interactions import InsertContent

MAX_DOCUMENT_BYTES = 8 << 20  # of text before gzip; whatever the text is, gzip makes it smaller than a document may be


class ContentLocation(Protocol):
    """Where the content of a leg's version lies: line `position` of `document`, or in `content` if `document` is None."""

    @property
    def document(self) -> UUID | None:
        """The document's id."""
        ...

    @property
    def position(self) -> int | None:
        """The line in the document, from 0."""
        ...

    @property
    def content(self) -> str | None:
        """The content itself, as JSON."""
        ...


def pack_contents(contents: Sequence[bytes]) -> tuple[list[Document], list[InsertContent]]:
    """Packs contents into documents. Returns the documents, and where each content lies: in a document, or in its row if it
    is larger than a document."""
    documents: list[Document] = []
    locations: list[InsertContent] = []
    lines: list[bytes] = []
    id, size = new_id(), 0
    for content in contents:
        if len(content) > MAX_DOCUMENT_BYTES:
            locations.append({"content": msgspec.Raw(content)})
            continue
        if size + len(content) > MAX_DOCUMENT_BYTES:
            documents.append(_document(id, lines))
            id, size, lines = new_id(), 0, []
        locations.append({"document": id, "position": len(lines)})
        lines.append(content)
        size += len(content) + 1
    if lines:
        documents.append(_document(id, lines))
    return documents, locations


def _document(id: UUID, contents: list[bytes]) -> Document:
    return Document(str(id), {"versions": len(contents)}, gzip.compress(b"\n".join(contents), 1, mtime=0))


async def load_contents(documents: DocumentStore, tenant: str, locations: Sequence[ContentLocation]) -> list[bytes]:
    """The contents at these locations, as bytes of JSON, in the order given. Fetches each document once. Raises
    DocumentCorrupted when one is missing or damaged."""
    by_document: dict[str, list[tuple[int, int]]] = {}
    contents: list[bytes] = []
    for index, each in enumerate(locations):
        contents.append((each.content or "").encode())
        if each.document is not None:
            assert each.position is not None, "a document has a position"
            by_document.setdefault(str(each.document), []).append((index, each.position))
    found = await documents.get(tenant, RAW, sorted(by_document)) if by_document else {}
    if missing := by_document.keys() - found.keys():
        raise DocumentCorrupted(f"documents of legs that rows name are missing: {', '.join(sorted(missing)[:5])}")
    for name, document in found.items():  # one after another, because unpacked documents are large
        lines = gzip.decompress(document.blob or b"").split(b"\n")
        for index, position in by_document[name]:
            contents[index] = lines[position]
    return contents
