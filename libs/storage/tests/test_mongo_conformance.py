"""Documents in MongoDB's wire protocol: what every store promises, and what only this one has to."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson.binary import Binary
from messaging.retry import is_transient
from pymongo import MongoClient
from pymongo.errors import BulkWriteError
from storage import Document, DocumentCorrupted, MongoDocumentStore
from storage.mongo import _raise_unless_duplicates
from testkit.document_conformance import DocumentConformance
from testkit.programs.mongodb import MongoDB

Raw = MongoClient[dict[str, Any]]


@pytest.mark.parametrize("mongodb_url", ["mongodb"], indirect=True)
class TestMongoDocuments(DocumentConformance):
    @pytest.fixture
    async def documents(self, mongodb_url: str) -> AsyncIterator[MongoDocumentStore]:
        opened = MongoDocumentStore(mongodb_url, "training")
        yield opened
        await opened.close()

    async def test_a_service_has_its_own_database(self, documents: MongoDocumentStore, mongodb_url: str) -> None:
        other = MongoDocumentStore(mongodb_url, "kpi-engine")
        await documents.put("acme", "things", [Document("a", {})])
        assert await other.find("acme", "things", {}) == []
        await other.close()
        assert documents.database.endswith("_training")
        assert other.database.endswith("_kpi_engine")

    async def test_the_tenant_is_in_every_key_and_questions_are_indexed(
        self, documents: MongoDocumentStore, mongodb_url: str
    ) -> None:
        await documents.put("acme", "things", [Document("a", {"receipt": "r", "of": "x"}, b"bytes")])
        await documents.find("acme", "things", {"receipt": "r", "of": "x"})
        with Raw(mongodb_url) as client:
            things = client[documents.database]["things"]
            (row,) = things.find({})
            assert row["_id"] == "acme,a"
            assert set(row) == {"_id", "tenant", "at", "body", "blob", "sha256"}
            keys = [list(each["key"]) for each in things.list_indexes()]
        assert sorted(keys) == [["_id"], ["tenant", "at", "_id"], ["tenant", "body.of", "body.receipt", "_id"]]

    async def test_a_tenant_whose_name_begins_another_is_apart(self, documents: MongoDocumentStore) -> None:
        for tenant in ("acme", "acme-north", "acme.de", "größe"):
            await documents.put(tenant, "things", [Document("a", {"of": tenant}), Document(",b", {"of": tenant})])
        for tenant in ("acme", "acme-north", "acme.de", "größe"):
            assert [each.body["of"] for each in await documents.find(tenant, "things", {})] == [tenant] * 2
            assert [each.id for each in await documents.find(tenant, "things", {}, after=",b")] == ["a"]
            later = datetime.now(UTC) + timedelta(seconds=1)
            assert await documents.ids_before(tenant, "things", later) == [",b", "a"]

    async def test_integers_come_back_plain(self, documents: MongoDocumentStore) -> None:
        await documents.put("acme", "things", [Document("a", {"big": 2**62, "in": [{"big": -(2**40)}]})])
        body = (await documents.get("acme", "things", ["a"]))["a"].body
        assert (type(body["big"]), type(body["in"][0]["big"])) == (int, int)

    async def test_bytes_that_are_not_those_written_are_told_by_name(
        self, documents: MongoDocumentStore, mongodb_url: str
    ) -> None:
        await documents.put("acme", "things", [Document("good", {}, b"bytes"), Document("bad", {}, b"bytes")])
        with Raw(mongodb_url) as client:
            client[documents.database]["things"].update_one({"_id": "acme,bad"}, {"$set": {"blob": Binary(b"other")}})
        assert (await documents.get("acme", "things", ["good"]))["good"].blob == b"bytes"
        for read in (documents.get("acme", "things", ["bad"]), documents.find("acme", "things", {})):
            with pytest.raises(DocumentCorrupted, match="document bad "):
                await read

    async def test_more_ids_than_a_command_holds(self, documents: MongoDocumentStore) -> None:
        ids = [f"{number:>300}" for number in range(60_000)]
        await documents.put("acme", "things", [Document(ids[7], {}), Document(ids[-1], {})])
        assert set(await documents.get("acme", "things", ids)) == {ids[7], ids[-1]}
        await documents.delete("acme", "things", ids)
        assert await documents.get("acme", "things", ids) == {}


def test_what_the_server_refuses_is_told_without_the_document() -> None:
    refused = {"writeErrors": [{"code": 11000}, {"code": 121, "op": {"body": "4711"}}], "writeConcernErrors": []}
    with pytest.raises(RuntimeError, match=r"refused documents of things with codes \[121\]") as told:
        _raise_unless_duplicates("things", BulkWriteError(refused))
    assert "4711" not in str(told.value)
    assert told.value.__suppress_context__
    _raise_unless_duplicates("things", BulkWriteError({"writeErrors": [{"code": 11000}], "writeConcernErrors": []}))
    with pytest.raises(ConnectionError):
        _raise_unless_duplicates(
            "things", BulkWriteError({"writeErrors": [{"code": 11000}], "writeConcernErrors": [{"code": 64}]})
        )


async def test_without_a_named_database_it_is_uplift() -> None:
    opened = MongoDocumentStore("mongodb://127.0.0.1:1", "training")
    assert opened.database == "uplift_training"
    await opened.close()


@pytest.mark.usefixtures("mongodb_program")
async def test_a_store_that_is_away_may_come_back(tmp_path: Path) -> None:
    """`mongodb_program` is not the one killed: it says that one can be started here."""
    server = MongoDB(tmp_path)
    server.start()
    documents = MongoDocumentStore(server.url, "training")
    try:
        await documents.put("acme", "things", [Document("a", {"n": 1}, b"bytes")])
        before = await documents.get("acme", "things", ["a"])
        server.kill()
        works = (
            documents.put("acme", "things", [Document("b", {})]),
            documents.get("acme", "things", ["a"]),
            documents.find("acme", "things", {}),
            documents.delete("acme", "things", ["a"]),
        )
        for told in await asyncio.wait_for(asyncio.gather(*works, return_exceptions=True), 60):
            assert isinstance(told, ConnectionError)
            assert is_transient(told)
        server.start()
        assert await documents.get("acme", "things", ["a"]) == before
        await documents.put("acme", "things", [Document("b", {}), Document("a", {"n": 2})])
        assert [each.id for each in await documents.find("acme", "things", {})] == ["a", "b"]
        assert await documents.get("acme", "things", ["a"]) == before
    finally:
        await documents.close()
        server.kill()
