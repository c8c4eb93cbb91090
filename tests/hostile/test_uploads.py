"""Uploads that are made to be slow: every byte is looked at a bounded number of times, and between two of its turns a reader
keeps the loop for a moment only."""

import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from contracts import new_id
from ingest.actions.intake import new_chunk
from ingest.model.payload import Payload
from ingest.model.payload.record import Limits
from ingest.model.sources import SourceSpec, build_source

from tests.hostile import loop_watch

MOMENT_S = 0.05
MOST_GROWTH = 3.2
"""Twice the input takes twice the time; a quadratic reader takes four times."""


@pytest.fixture(autouse=True, scope="module")
def collected_as_in_a_server() -> Iterator[None]:
    with loop_watch.collected_as_in_a_server():
        yield


def packed(plain: bytes, *, level: int = 9) -> bytes:
    return gzip.compress(plain, level, mtime=0)


def tiny_blocks(plain: bytes, *, flush: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    pieces = [packer.compress(plain[at : at + 7]) + packer.flush(flush) for at in range(0, len(plain), 7)]
    return b"".join(pieces) + packer.flush()


def rows(count: int) -> bytes:
    return b"".join(b'{"contact": %d}\n' % number for number in range(count))


NAMES = [f"n{number}" for number in range(1 << 17)]
# Name → the body of a size. The sizes are chosen so that each takes some hundredths of a second.
BODIES: dict[str, Callable[[int], bytes]] = {
    "newlines": lambda n: b"\n" * (n << 16),
    "newlines, packed": lambda n: packed(b"\n" * (n << 16)),
    "blank lines and spaces": lambda n: b" \r\n\t" * (n << 12),
    "newlines after a record": lambda n: b"{}\n" + b"\n" * (n << 14),
    "blank lines after a record": lambda n: b"{}\n" + b" \n" * (n << 11),
    "NDJSON": lambda n: rows(n << 10),
    "NDJSON, packed": lambda n: packed(rows(n << 10)),
    "NDJSON, one byte short of its end": lambda n: rows(n << 10)[:-3],
    "many values in one line": lambda n: b"{}" * (n << 10),
    "one endless line": lambda n: b'{"a": "' + b"x" * (n << 16),
    "one endless line of CSV": lambda n: b"a,b\n" + b"x" * (n << 16),
    "one endless first line of CSV": lambda n: b"x" * (n << 16),
    "an array": lambda n: b"[" + rows(n << 9).replace(b"\n", b",") + b"{}]",
    "NDJSON, a record of many lists": lambda n: b'{"x": [' + b",".join([b"[[[[]]]]"] * (n << 10)) + b"]}\n",
    "NDJSON, a record of many objects": lambda n: b'{"x": [' + b",".join([b"{}"] * (n << 12)) + b"]}\n",
    "an array with a record of many lists": lambda n: b'[{"x": [' + b",".join([b"[[[[]]]]"] * (n << 10)) + b"]}]",
    "an object of many lists over many lines": lambda n: b'{"x": [\n' + b",\n".join([b"[[[[]]]]"] * (n << 10)) + b"]}",
    "separators of an array": lambda n: b"[{}" + b", \n" * (n << 14) + b"]",
    "an array that never ends a value": lambda n: b'[{"a": "' + b"x" * (n << 16),
    "an array of nothing but opening brackets": lambda n: b"[" * (n << 14),
    "an array of one long number": lambda n: b"[1." + b"1" * (n << 15),
    "an array of texts": lambda n: b'["' + b"x" * (n << 16) + b'"',
    "one object over many lines": lambda n: b'{\n"a": [' + b"1,\n" * (n << 12) + b"1]}",
    "an object of many names, the last one twice": lambda n: json.dumps(dict.fromkeys(NAMES[: n << 10], 1)).encode()[:-1] + b', "n%d": 1}' % ((n << 10) - 1),
    "CSV": lambda n: b"a,b\n" + b"1,2\n" * (n << 10),
    "CSV, quoted": lambda n: b'a,b\n' + b'"1","2"""\n' * (n << 10),
    "CSV, an open quotation": lambda n: b'a,b\n1,"' + b"2,3\n" * (n << 9),
    "CSV, open quotations": lambda n: b'a,b\n' + b'1,"2\n' * (n << 9),
    "CSV, an open quotation over long lines": lambda n: b'a,b\n1,"' + (b"x" * 5000 + b"\n") * (n << 3),
    "CSV, an open quotation over lines that quote": lambda n: b'a,b\n1,"' + (b'""' * 200 + b"\n") * (n << 4),
    "CSV, nothing but quotation marks": lambda n: b'a,b\n' + b'"' * (n << 14),
    "CSV, an empty row": lambda n: b"a,b\n" + b",\n" * (n << 10),
    "CSV, a header of many columns": lambda n: b",".join(name.encode() for name in NAMES[: n << 11]) + b"\n1",
    "gzip of tiny blocks": lambda n: tiny_blocks(rows(n << 7), flush=zlib.Z_SYNC_FLUSH),
    "gzip of blocks with nothing in them": lambda n: packed(b"{}\n")[:-8] + b"\x00\x00\x00\xff\xff" * (n << 12),
    "gzip of many members": lambda n: packed(b"{}\n") * (n << 8),
    "gzip of empty members": lambda n: packed(b"") * (n << 8),
    "gzip and zeros": lambda n: packed(b"{}\n") + b"\0" * (n << 16),
    "UTF-16": lambda n: rows(n << 9).decode().encode("utf-16"),
    "UTF-16 newlines": lambda n: ("\n" * (n << 14)).encode("utf-16"),
    "a mark and newlines": lambda n: b"\xef\xbb\xbf" + b"\n" * (n << 16),
    "backslashes": lambda n: b'{"a": "' + b"\\\\" * (n << 14) + b'\\u0001"}\n',
    "text that is not UTF-8": lambda n: b"[" + b'"\xff",' * (n << 9),
}  # fmt: skip


def spent(body: bytes, piece: int) -> tuple[float, float]:
    """Seconds of the processor for all of it, and for the longest time without a turn for others."""
    payload = Payload(Limits())
    begun = last = time.thread_time()
    longest = 0.0
    for at in range(0, len(body), piece):
        heavy = payload.is_heavy
        for _ in payload.feed_in_steps(body[at : at + piece]):
            now = time.thread_time()
            longest, last = (longest if heavy else max(longest, now - last)), now
        last = time.thread_time()
    for _ in payload.close():
        pass
    return time.thread_time() - begun, longest


def grows_linearly(small: bytes, large: bytes, piece: int) -> bool:
    """The best of several, since the machine may be busy with something else."""
    for _ in range(5):
        once = min(spent(small, piece)[0] for _ in range(2))
        if spent(large, piece)[0] < MOST_GROWTH * max(once, 0.002):
            return True
    return False


@pytest.mark.parametrize("name", BODIES)
def test_twice_the_body_is_twice_the_work(name: str) -> None:
    assert grows_linearly(BODIES[name](6), BODIES[name](12), 1 << 20)


@pytest.mark.parametrize("name", BODIES)
def test_twice_the_body_is_twice_the_work_byte_by_byte(name: str) -> None:
    body = BODIES[name](2)
    assert grows_linearly(body[: 1 << 13], body[: 1 << 14], 1)


@pytest.mark.parametrize("name", BODIES)
def test_no_step_keeps_the_loop_for_long(name: str) -> None:
    body = BODIES[name](16)
    assert min(spent(body, len(body))[1] for _ in range(3)) < MOMENT_S


def test_a_megabyte_of_packed_newlines_ends_early() -> None:
    body = packed(b"\n" * (100 << 20))
    for start in (b"", packed(b"{}\n")):
        payload = Payload()
        begun = time.thread_time()
        found = [*payload.feed(start + body), *payload.close()]
        assert time.thread_time() - begun < 2
        assert found[-1].refusal
        assert "blank" in found[-1].refusal.reason


@pytest.mark.parametrize("start", [b'{"x": [', b'{"x":\n[', b'[{"x": ['])
@pytest.mark.parametrize("piece", [b"[[[[]]]],", b"{},", b'{"a":1},', b"1,"])
def test_a_record_of_very_many_values_is_refused_before_it_is_parsed(start: bytes, piece: bytes) -> None:
    body = start + piece * ((7 << 20) // len(piece))
    payload = Payload()
    begun = time.thread_time()
    found = [*payload.feed(body), *payload.close()]
    assert time.thread_time() - begun < 0.5
    assert [each.refusal and each.refusal.reason for each in found] == ["The record holds more than 250,000 values."]


def test_the_records_around_one_of_too_many_values_are_read() -> None:
    payload = Payload(Limits(record_values=8))
    found = [*payload.feed(b'{"a": 1}\n{"a": [1, 2, 3, 4, 5, 6]}\n{"a": 2}\n'), *payload.close()]
    assert [each.refusal and each.refusal.reason for each in found] == [
        None, "The record holds more than 8 values.", None,
    ]  # fmt: skip


def test_commas_and_brackets_in_texts_are_no_values() -> None:
    body = b'{"x": "' + b"[{,:" * (1 << 19) + b'"}'
    payload = Payload()
    (record,) = [*payload.feed(body), *payload.close()]
    assert record.value is not None


LARGE_RECORDS: dict[str, dict[str, Any]] = {
    "silent stretches": {
        "CustomerMetadata": {"ContactId": "c"},
        "ConversationCharacteristics": {
            "NonTalkTime": {"Instances": [{"BeginOffsetMillis": 1, "EndOffsetMillis": 2}] * 49_000}
        },
    },
    "an attribute that is nearly an address": {
        "ContactId": "c",
        "InitiationMethod": "INBOUND",
        "Channel": "VOICE",
        "InitiationTimestamp": "2026-03-02T08:00:00Z",
        "Attributes": {"a": f"b@{'.' * 1_000_000} c"},
    },
}


@pytest.mark.parametrize("name", LARGE_RECORDS)
def test_a_large_record_is_judged_in_a_moment(name: str) -> None:
    source = build_source("calls", SourceSpec(vendor="amazon-connect"))
    now = datetime(2026, 3, 3, tzinfo=UTC)
    payload = Payload()
    (record,) = [*payload.feed(json.dumps(LARGE_RECORDS[name]).encode()), *payload.close()]
    chunk = new_chunk(new_id(), "live", source, now=now, secret=b"secret")
    begun = time.thread_time()
    chunk.add(record)
    assert time.thread_time() - begun < MOMENT_S


def test_limits_of_what_a_body_may_hold() -> None:
    for body, limits, reason in (
        (rows(20), Limits(records=10), "The body holds more than 10 records. The others were not read."),
        (packed(b"{}\n") * 20, Limits(gzip_members=10), "The body is made of more than 10 gzip files."),
        (b"{}\n" + b" \n" * 20, Limits(blank_lines=10), "More than 10 lines are blank. Nothing after them was read."),
        (b"a,b\n" + b",\n" * 20, Limits(blank_lines=10), "More than 10 lines are blank. Nothing after them was read."),
        (b"\n" * 20, Limits(blank_lines=10), "The body begins with more than 10 blank lines. Nothing was read."),
        (b"a,b,c\n1,2,3", Limits(columns=2), "The header names 3 columns; at most 2 are read."),
        (b"x" * 40, Limits(record_bytes=20), "The first line, which names the columns, is longer than 0 MB."),
    ):
        payload = Payload(limits)
        found = [*payload.feed(body), *payload.close()]
        assert found[-1].refusal
        assert found[-1].refusal.reason == reason
        assert found[-1].is_whole_body
        assert payload.is_broken
        assert found[-1].refusal.cure
