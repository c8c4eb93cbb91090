from typing import Any

import psycopg
import pytest
from storage import Document, DocumentCorrupted, JsonbDocumentStore, Sessions
from testkit.document_conformance import DocumentConformance


class TestJsonbDocuments(DocumentConformance):
    @pytest.fixture
    def documents(self, sessions: Sessions) -> JsonbDocumentStore:
        return JsonbDocumentStore(sessions)

    async def test_more_ids_than_a_statement_has_parameters(self, documents: JsonbDocumentStore) -> None:
        ids = [str(number) for number in range(70_000)]
        await documents.put("acme", "things", [Document("7", {})])
        assert set(await documents.get("acme", "things", ids)) == {"7"}
        await documents.delete("acme", "things", ids)
        assert await documents.get("acme", "things", ids) == {}

    async def test_the_sum_is_kept_beside_the_bytes(
        self, documents: JsonbDocumentStore, admin: psycopg.Connection[Any]
    ) -> None:
        await documents.put("acme", "things", [Document("a", {}, b"bytes")])
        assert admin.execute("SELECT sha256 = encode(sha256(blob), 'hex') FROM document").fetchall() == [(True,)]

    async def test_bytes_that_are_not_those_written_are_told_by_name(
        self, documents: JsonbDocumentStore, admin: psycopg.Connection[Any]
    ) -> None:
        await documents.put("acme", "things", [Document("good", {}, b"bytes"), Document("bad", {}, b"bytes")])
        admin.execute("UPDATE document SET blob = 'other' WHERE id = 'bad'")
        assert (await documents.get("acme", "things", ["good"]))["good"].blob == b"bytes"
        with pytest.raises(DocumentCorrupted, match="document bad "):
            await documents.get("acme", "things", ["good", "bad"])
