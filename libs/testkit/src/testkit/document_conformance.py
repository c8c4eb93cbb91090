"""The tests that every implementation of `DocumentStore` has to pass."""

import asyncio
import hashlib
import json
import math
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from storage import Document, DocumentStore

NESTED: dict[str, Any] = {
    "text": "Größe 静默 🙂 \"quoted\" 'single' \\ \n\t",
    "Schlüssel 键": {"äöü": [1, -1, 0, 2**62, -(2**62), 0.1, 1e-9, -2.5e15, True, False, None, "", {"": []}, {}]},
    "deep": {"a": {"b": {"c": {"d": {"e": ["f", {"g": "h"}]}}}}},
    "date": "2026-03-02",
    "instant": "2026-03-02T08:00:00.123456+00:00",
    "almost a key": {"-": 1, "dollar$inside": 2, " ": 3, "": 4, "_id": 5, "id": 6},
}


class DocumentConformance:
    """The suite. A test class inherits it and has a fixture `documents`: an empty store in which the tenants `acme` and `zeta`
    may write."""

    async def test_what_was_put_is_found_by_id(self, documents: DocumentStore) -> None:
        """`get` returns the documents that exist, by id."""
        await documents.put("acme", "things", [Document("a", {"n": 1}), Document("b", {"n": 2})])
        found = await documents.get("acme", "things", ["b", "a", "missing"])
        assert found == {"a": Document("a", {"n": 1}), "b": Document("b", {"n": 2})}

    async def test_nothing_in_nothing_out(self, documents: DocumentStore) -> None:
        """Empty lists and empty collections are no errors."""
        await documents.put("acme", "things", [])
        await documents.delete("acme", "things", [])
        assert await documents.get("acme", "things", []) == {}
        assert await documents.get("acme", "things", ["a"]) == {}
        assert await documents.find("acme", "things", {}) == []
        assert await documents.ids_before("acme", "things", datetime.now(UTC)) == []

    async def test_a_document_never_changes(self, documents: DocumentStore) -> None:
        """`put` keeps a document whose id exists, and writes the others of the same call."""
        await documents.put("acme", "things", [Document("a", {"n": 1}, b"first")])
        await documents.put("acme", "things", [Document("b", {"n": 2}), Document("a", {"n": 9}, b"second")])
        found = await documents.get("acme", "things", ["a", "b"])
        assert found == {"a": Document("a", {"n": 1}, b"first"), "b": Document("b", {"n": 2})}

    async def test_the_same_id_twice_in_one_put_keeps_the_first(self, documents: DocumentStore) -> None:
        """Of two documents with one id in one call the first is written."""
        await documents.put("acme", "things", [Document("a", {"n": 1}), Document("a", {"n": 2})])
        assert (await documents.get("acme", "things", ["a"]))["a"].body == {"n": 1}

    async def test_writers_at_once_agree_on_one_document(self, documents: DocumentStore) -> None:
        """Of concurrent writes of one id one wins, and every reader gets that one."""
        writes = (documents.put("acme", "things", [Document("a", {"n": number})]) for number in range(4))
        await asyncio.gather(*writes)
        (found,) = await documents.find("acme", "things", {})
        assert found.body["n"] in range(4)
        assert await documents.get("acme", "things", ["a"]) == {"a": found}

    async def test_every_value_comes_back_as_it_was(self, documents: DocumentStore) -> None:
        """Values keep their types, and ids and collections may hold any character."""
        await documents.put("acme", "Sammlung 集", [Document("id/with:odd|characters ü 🙂", NESTED)])
        (found,) = (await documents.get("acme", "Sammlung 集", ["id/with:odd|characters ü 🙂"])).values()
        assert found.body == NESTED
        assert json.dumps(found.body, sort_keys=True) == json.dumps(NESTED, sort_keys=True), "types too"

    async def test_two_megabytes_are_an_ordinary_document(self, documents: DocumentStore) -> None:
        """A body of two megabytes can be written and read."""
        body = {"turns": [{"n": number, "text": f"{number:>100}"} for number in range(18_000)]}
        assert len(json.dumps(body)) > 2_000_000
        await documents.put("acme", "things", [Document("big", body)])
        assert (await documents.get("acme", "things", ["big"]))["big"].body == body

    async def test_bytes_come_back_with_their_sum(self, documents: DocumentStore) -> None:
        """A blob is read as `bytes` with its SHA-256; an empty one differs from none."""
        blob = os.urandom(2_000_000)
        await documents.put("acme", "things", [Document("b", {}, blob), Document("e", {}, b""), Document("n", {})])
        found = await documents.get("acme", "things", ["b", "e", "n"])
        assert found["b"].blob == blob
        assert type(found["b"].blob) is bytes
        assert found["b"].sha256 == hashlib.sha256(blob).hexdigest()
        assert found["e"].blob == b""
        assert (found["n"].blob, found["n"].sha256) == (None, None)

    async def test_find_by_equal_fields(self, documents: DocumentStore) -> None:
        """`find` compares top-level text fields for equality, and values cannot inject a query."""
        await documents.put(
            "acme",
            "things",
            [
                Document("a", {"form": "review", "day": "2026-03-02"}),
                Document("b", {"form": "review", "day": "2026-03-03"}),
                Document("c", {"form": "other", "day": "2026-03-02"}),
                Document("d", {"nested": {"form": "review"}}),
            ],
        )

        async def ids(**where: str) -> list[str]:
            return [each.id for each in await documents.find("acme", "things", where)]

        assert await ids() == ["a", "b", "c", "d"]
        assert await ids(form="review") == ["a", "b"]
        assert await ids(form="review", day="2026-03-03") == ["b"]
        assert await ids(form="Review") == []
        assert await ids(form="' OR true --") == []
        assert await ids(missing="x") == []

    async def test_find_page_by_page(self, documents: DocumentStore) -> None:
        """`after` and `limit` page through the documents that match."""
        await documents.put("acme", "things", [Document(f"{n:03}", {"even": str(n % 2 == 0)}) for n in range(25)])
        found: list[str] = []
        after = None
        for expected in (5, 5, 3, 0):
            page = await documents.find("acme", "things", {"even": "True"}, after=after, limit=5)
            assert len(page) == expected
            found += [each.id for each in page]
            after = found[-1]
        assert found == [f"{n:03}" for n in range(0, 25, 2)]

    async def test_a_page_has_a_hundred_documents_by_default(self, documents: DocumentStore) -> None:
        """`find` returns at most a hundred documents without a `limit`."""
        await documents.put("acme", "things", [Document(f"{n:03}", {}) for n in range(101)])
        assert len(await documents.find("acme", "things", {})) == 100

    async def test_tenants_and_collections_are_apart(self, documents: DocumentStore) -> None:
        """No method reads or deletes documents of another tenant or collection."""
        await documents.put("acme", "things", [Document("a", {"of": "acme"})])
        await documents.put("zeta", "things", [Document("a", {"of": "zeta"})])
        await documents.put("acme", "others", [Document("a", {"of": "others"})])
        assert (await documents.get("acme", "things", ["a"]))["a"].body == {"of": "acme"}
        assert (await documents.get("zeta", "things", ["a"]))["a"].body == {"of": "zeta"}
        assert await documents.find("zeta", "others", {}) == []
        await documents.delete("zeta", "things", ["a"])
        assert await documents.get("zeta", "things", ["a"]) == {}
        assert len(await documents.find("acme", "things", {})) == 1
        assert len(await documents.find("acme", "others", {})) == 1
        assert await documents.ids_before("zeta", "things", datetime.now(UTC) + timedelta(hours=1)) == []

    @pytest.mark.parametrize(
        "body",
        [
            {"a.b": 1},
            {"$x": 1},
            {"in": {"a.b": 1}},
            {"in": [{"ok": 1}, [{"$set": 1}]]},
            {"n": math.nan},
            {"n": [math.inf]},
            {"n": {"m": -math.inf}},
            {"n": 2**63},
            {"table": [[1, 2], [3, 4]]},
            {"in": [{"table": [[0]]}]},
            {"text": "nul \x00"},
            {"nul \x00": 1},
            {"text": ["half a pair \ud83d"]},
        ],
        ids=ascii,
    )
    async def test_what_not_every_store_can_keep_is_refused_whole(
        self, documents: DocumentStore, body: dict[str, Any]
    ) -> None:
        """A body that not every implementation can store raises ValueError, and nothing of the call is written."""
        with pytest.raises(ValueError, match="document"):
            await documents.put("acme", "things", [Document("good", {}), Document("bad", body)])
        assert await documents.find("acme", "things", {}) == []

    async def test_sixteen_megabytes_are_too_many(self, documents: DocumentStore) -> None:
        """`MAX_DOCUMENT_BYTES` holds for body and blob."""
        await documents.put("acme", "things", [Document("most", {}, os.urandom(15_900_000))])
        for big in (Document("big", {}, bytes(16_000_000)), Document("big", {"text": "x" * 16_000_000})):
            with pytest.raises(ValueError, match="big has 16,000"):
                await documents.put("acme", "things", [Document("good", {}), big])
        assert await documents.ids_before("acme", "things", datetime.now(UTC) + timedelta(hours=1)) == ["most"]

    async def test_delete_takes_those_that_exist_and_frees_their_ids(self, documents: DocumentStore) -> None:
        """`delete` ignores missing ids, and a deleted id can be written again."""
        await documents.put("acme", "things", [Document(name, {"n": 1}) for name in "abc"])
        await documents.delete("acme", "things", ["a", "c", "missing"])
        assert [each.id for each in await documents.find("acme", "things", {})] == ["b"]
        await documents.put("acme", "things", [Document("a", {"n": 2})])
        assert (await documents.get("acme", "things", ["a"]))["a"].body == {"n": 2}

    async def test_ids_of_what_was_written_before_an_instant(self, documents: DocumentStore) -> None:
        """`ids_before` selects by the time of the first write, with `since`, `after` and `limit`."""
        start = datetime.now(UTC)
        await documents.put("acme", "things", [Document("b", {}), Document("a", {})])
        await asyncio.sleep(0.02)  # sleep: the documents have different times
        between = datetime.now(UTC)
        await asyncio.sleep(0.02)  # sleep: the same
        await documents.put("acme", "things", [Document("c", {}), Document("a", {"again": True})])
        after = datetime.now(UTC) + timedelta(seconds=1)
        assert await documents.ids_before("acme", "things", start - timedelta(seconds=1)) == []
        assert await documents.ids_before("acme", "things", between) == ["a", "b"]
        assert await documents.ids_before("acme", "things", after) == ["a", "b", "c"]
        assert await documents.ids_before("acme", "things", after, limit=2) == ["a", "b"]
        assert await documents.ids_before("acme", "things", after, after="b", limit=2) == ["c"]
        assert await documents.ids_before("acme", "things", after, since=between) == ["c"]
        assert await documents.ids_before("acme", "things", between, since=start - timedelta(seconds=1)) == ["a", "b"]
        assert await documents.ids_before("acme", "others", after) == []

    async def test_a_store_that_is_closed_was_open_until_then(self, documents: DocumentStore) -> None:
        """`close` can be called after use."""
        await documents.put("acme", "things", [Document("a", {})])
        assert set(await documents.get("acme", "things", ["a"])) == {"a"}
        await documents.close()
