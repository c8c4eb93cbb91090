"""Bodies of every form, also damaged. Records before a defect stay; memory is bounded."""

import gzip
import json
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator

import pytest
from ingest.model.payload import Layout, Limits, Payload, Record


def read(
    body: bytes | Iterable[bytes], *, piece: int = 7, limits: Limits | None = None
) -> tuple[list[Record], Payload]:
    payload = Payload(limits)
    chunks = (body[at : at + piece] for at in range(0, len(body), piece)) if isinstance(body, bytes) else body
    records = [record for chunk in chunks for record in payload.feed(chunk)]
    return records + list(payload.close()), payload


def values(body: bytes, *, piece: int = 7) -> list[object]:
    return [record.value for record in read(body, piece=piece)[0]]


def reasons(records: Iterable[Record]) -> list[tuple[int, str]]:
    return [(record.line, record.refusal.reason) for record in records if record.refusal]


ONE, TWO = {"a": "ä\n"}, {"b": [1, {"c": None}]}
A, B = json.dumps(ONE), json.dumps(TWO, ensure_ascii=False)


@pytest.mark.parametrize(
    "body",
    [
        f"{A}\n{B}\n",
        f"{A}\r\n\r\n{B}",
        f"{A}{B}",
        f"{A} {B}\n",
        f"[{A},{B}]",
        f"\n [\n{A} ,\n{B}\n]\n",
        json.dumps([ONE, TWO], indent=2),
        json.dumps(ONE, indent=1) + "\n" + json.dumps(TWO, indent=1),
        f"\ufeff{A}\n{B}",
    ],
)
@pytest.mark.parametrize("piece", [1, 5, 1000])
def test_json_in_every_form(body: str, piece: int) -> None:
    assert values(body.encode(), piece=piece) == [ONE, TWO]
    assert values(gzip.compress(body.encode(), mtime=0), piece=piece) == [ONE, TWO]


def test_gzip_of_two_members_and_utf_16() -> None:
    assert values(gzip.compress(f"{A}\n".encode(), mtime=0) + gzip.compress(B.encode(), mtime=0)) == [ONE, TWO]
    records, payload = read(f"{A}\n{B}".encode("utf-16"))
    assert [record.value for record in records] == [ONE, TWO]
    assert payload.notes == ["The text is UTF-16."]


def test_one_object_over_several_lines_has_its_first_line() -> None:
    records, _ = read(b'{\n "a": 1\n}\n\n{\n "a": 2,\n}\n')
    assert [(record.number, record.line) for record in records] == [(1, 1), (2, 5)]
    assert records[1].refusal
    assert "line 7" in records[1].refusal.reason


def test_a_bad_line_does_not_hide_the_others() -> None:
    bad = [
        '{"a": 1',
        '{"a": NaN}',
        '{"a": 1e999}',
        '{"a": 1, "a": 2}',
        '{"a": "\\u0000"}',
        '{"a": "\\ud800"}',
        "[1]",
        "7",
    ]
    bad += ['{"a": ' + "9" * 5000 + "}", '{"a": ' * 5000 + "1" + "}" * 5000, '{"a": "x\x00"}', '{"a": 1} nonsense']
    lines = [line for text in bad for line in (text, '{"ok": 1}')]
    records, payload = read(("{}\n" + "\n".join(lines)).encode(), piece=1 << 16)
    refused = reasons(records)
    assert [line for line, _ in refused] == list(range(2, 2 + 2 * len(bad), 2))
    assert sum(record.value == {"ok": 1} for record in records) == len(bad)
    assert all(record.refusal.cure for record in records if record.refusal)
    assert not payload.is_broken
    reason_by_number = dict(refused)
    assert reason_by_number[8] == "The same name occurs twice in one object."
    assert "nested too deeply" in reason_by_number[20]


def test_an_escaped_backslash_is_not_a_nul() -> None:
    assert values(b'{"a": "\\\\u0000"}') == [{"a": "\\u0000"}]
    assert values(b'{"a": "\\ud83d\\ude00"}') == [{"a": "\U0001f600"}]


def test_an_element_of_an_array_with_a_name_twice_does_not_hide_the_others() -> None:
    records, _ = read(b'[{"a": 1}, {"a": 1, "a": 2}, {"a": 3}]')
    assert [record.value for record in records] == [{"a": 1}, None, {"a": 3}]


@pytest.mark.parametrize(
    "body,count,reason",
    [
        (b'[{"a": 1},\n{"a": 2},\n{"a"', 2, "The payload ends in the middle of a record."),
        (b'[{"a": 1}', 1, "The JSON array is not closed: the payload ends too early."),
        (b'[{"a": 1}] {"a": 2}', 1, "There is text after the end of the array."),
        (b'{"a": 1}\n{"a": "x', 1, "This is not JSON: unterminated string starting at at character 7."),
        (b"", 0, "The body is empty."),
        (b" \n\n", 0, "The body is empty."),
        (gzip.compress(b"", mtime=0), 0, "The body is empty."),
        (b"<html>", 0, "This is XML or HTML."),
        (b"PK\x03\x04rest", 0, "This is a zip archive."),
        (gzip.compress(b'{"a": 1}\n{"a": 2}\n', mtime=0)[:-4], 2, "The gzip data ends before its end."),
    ],
)
def test_records_before_the_damage_stay(body: bytes, count: int, reason: str) -> None:
    records, _ = read(body)
    assert [record.value for record in records[:count]] == [{"a": n} for n in range(1, count + 1)] or body[
        :2
    ] == b"\x1f\x8b"
    assert sum(record.value is not None for record in records) == count
    assert records[-1].refusal
    assert records[-1].refusal.reason == reason


def test_gzip_damaged_in_the_middle() -> None:
    lines = b"".join(json.dumps({"n": n, "x": str(n * 7919 % 10007)}).encode() + b"\n" for n in range(50_000))
    packed = bytearray(gzip.compress(lines, mtime=0))
    packed[len(packed) // 2 : len(packed) // 2 + 20] = b"\xff" * 20
    records, payload = read(bytes(packed), piece=4096)
    good = [record.value for record in records if record.value is not None]
    assert len(good) > 20_000
    assert [value["n"] for value in good[:20_000]] == list(range(20_000))
    assert payload.is_broken
    assert records[-1].refusal
    assert "damaged" in records[-1].refusal.reason or "not JSON" in records[-1].refusal.reason


def test_200_mb_line_is_skipped_in_little_memory() -> None:
    def body() -> Iterator[bytes]:
        yield b'{"a": 1}\n{"a": "'
        for _ in range(3200):
            yield b"x" * (1 << 16)
        yield b'"}\n{"a": 3}\n'

    tracemalloc.start()
    records, _ = read(body())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [record.value for record in records] == [{"a": 1}, None, {"a": 3}]
    assert reasons(records) == [(2, "The line is longer than 8 MB.")]
    assert peak < 40 << 20


def test_200_mb_element_of_an_array_ends_the_reading_in_little_memory() -> None:
    def body() -> Iterator[bytes]:
        yield b'[{"a": 1},\n{"a": "'
        for _ in range(3200):
            yield b"x" * (1 << 16)

    tracemalloc.start()
    records, payload = read(body())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(records) == 2
    assert records[1].line == 2
    assert payload.is_broken
    assert "NDJSON" in records[1].refusal.cure  # type: ignore[union-attr]
    assert peak < 80 << 20


@pytest.mark.parametrize("fill", [b"0" * (1 << 20), b'{"a": "' + b"x" * 100_000 + b'"}\n'])
def test_gzip_bomb_is_refused_in_little_memory(fill: bytes) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(fill) for _ in range(120 if len(fill) > 1 << 19 else 1200)) + packer.flush()
    tracemalloc.start()
    payload = Payload(Limits(ratio_after_bytes=16 << 20))
    last, count = None, 0
    for record in payload.feed(bomb):
        last, count = record, count + 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert payload.is_broken
    assert last
    assert "inflates to more than 300 times" in last.refusal.reason  # type: ignore[union-attr]
    assert peak < 40 << 20


def test_csv_with_mark_semicolons_quotes_and_line_breaks() -> None:
    body = '\ufeffCallID;Name;Note\r\n1;"Ann; B.";"two\r\nlines"\r\n\r\n2;"5"" pipe";x\r\n'.encode()
    records, payload = read(body)
    assert [record.value for record in records] == [
        {"CallID": "1", "Name": "Ann; B.", "Note": "two\r\nlines"},
        {"CallID": "2", "Name": '5" pipe', "Note": "x"},
    ]
    assert [record.line for record in records] == [2, 5]
    assert payload.notes == ["The columns are separated by ';'."]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_csv_that_is_not_utf_8_gets_a_note(encoding: str) -> None:
    records, payload = read("id\tcity\n1\tKöln\n2\tBonn\n3\tZürich".encode(encoding))
    assert [record.value["city"] for record in records if record.value] == ["Köln", "Bonn", "Zürich"]
    assert "2 lines were not UTF-8 and were read as Windows-1252." in payload.notes


def test_csv_defects_name_their_line() -> None:
    body = b'sep=,\nid,x\n1,a,b\n2,"open\n3,b\n4,c\n5,nul\0\n"6"x,d\n7,e\n'
    records, _ = read(body)
    assert reasons(records) == [
        (3, "The row has 3 cells, the header has 2."),
        (4, "A quotation mark is opened and never closed."),
        (7, "The text holds NUL characters."),
        (8, "This is not CSV: ',' expected after '\"'."),
    ]
    assert [record.value["id"] for record in records if record.value] == ["3", "4", "7"]


@pytest.mark.parametrize("header", [b"a,a\n1,2", b"a,,b\n1,2,3", b"\x01\x02\x03\n1", b'\x02,"\x1f"x\n1'])
def test_csv_needs_a_usable_header(header: bytes) -> None:
    records, payload = read(header)
    assert payload.is_broken
    assert len(records) == 1


@pytest.mark.parametrize("binary", [b'\x02,"\x1f"x\n1', b"\x1e\x11a\rb,\x07\xff\n" * 3, b"\x05,\r\x06"])
def test_the_refusal_of_binary_data_has_no_cure_for_a_row(binary: bytes) -> None:
    """Random bytes, a file of a spreadsheet program, gzip that is none."""
    assert [reason for _, reason in reasons(read(binary)[0])] == ["This is neither JSON nor CSV text."]


def test_the_refusal_of_a_carriage_return_in_a_cell_names_it() -> None:
    assert reasons(read(b"id,x\n1,a\rb\n")[0]) == [
        (2, "This is not CSV: a carriage return stands inside a cell that is not quoted.")
    ]


def test_an_open_quotation_of_a_large_file_costs_bounded_work() -> None:
    body = b'id,x\n1,"open\n' + b"2,b\n" * 20_000
    records, _ = read(body, piece=1 << 16)
    assert len(records) == 20_001
    assert reasons(records) == [(2, "A quotation mark is opened and never closed.")]


FRAME = Layout(header_columns=frozenset({"id", "start"}), skip=lambda row: row.get("id") in ("Total", "VARCHAR"))


def laid_out(body: str, layout: Layout) -> tuple[list[Record], Payload]:
    payload = Payload(layout=layout)
    return [*payload.feed(body.encode()), *payload.close()], payload


@pytest.mark.parametrize("titles", ["", "Calls\n", "Calls;;;\nFrom 2024-05-29;;;\n", '"All, of them"\n\n\n'])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_a_report_is_read_between_its_titles_and_totals(titles: str, separator: str) -> None:
    rows = ["id;start;talk;", "VARCHAR;TIME;INT;", "P1;09:00;60;", "P2;09:05;61", "P3;09:06;;", "Total;;121;"]
    records, payload = laid_out(titles + "\n".join(rows).replace(";", separator), FRAME)
    assert [record.value for record in records] == [
        {"id": "P1", "start": "09:00", "talk": "60"},
        {"id": "P2", "start": "09:05", "talk": "61"},
        {"id": "P3", "start": "09:06", "talk": ""},
    ]
    assert [record.number for record in records] == [1, 2, 3]
    above = sum(bool(line.strip(";")) for line in titles.splitlines())
    notes = [f"The columns are separated by {separator!r}."] if separator != "," else []
    notes += [f"{above} lines above the header were passed over."] if above else []
    assert payload.notes == [*notes, "2 records were passed over, as the mapping says under `skip`."]


@pytest.mark.parametrize("more", [0, 30])
def test_without_a_header_with_the_known_columns_the_first_line_is_the_header(more: int) -> None:
    body = "call,begin\n" + "".join(f"{n},x\n" for n in range(1 + more))
    records, _ = laid_out(body, FRAME)
    assert [record.value for record in records] == [{"call": str(n), "begin": "x"} for n in range(1 + more)]
    assert [record.line for record in records] == list(range(2, 3 + more))


@pytest.mark.parametrize("layout", [Layout(columns=("id", "start")), Layout(has_numbered_columns=True)])
def test_a_file_without_header(layout: Layout) -> None:
    names = layout.columns or ("0", "1")
    expected = [dict(zip(names, row, strict=True)) for row in (("1", "09:00"), ("2", "09:05"))]
    assert [record.value for record in laid_out("1,09:00\n2,09:05\n", layout)[0]] == expected
    with_header = ",".join(names) + "\n1,09:00\n2,09:05,\n"
    assert [record.value for record in laid_out(with_header, layout)[0]] == expected
    (record,) = laid_out("1,09:00,x\n", Layout(columns=("id", "start")))[0]
    assert record.refusal


def test_one_object_may_be_several_records_each_with_a_text_of_its_own() -> None:
    layout = Layout(split=lambda record: [{"a": each} for each in record["a"]], skip=lambda record: "kind" in record)
    records, _ = laid_out('{"a": [1, 2]}\n{"kind": "ping"}\n{"a": [3]}\n', layout)
    assert [(record.number, record.line, record.value) for record in records] == [
        (1, 1, {"a": 1}),
        (2, 1, {"a": 2}),
        (3, 3, {"a": [3]}),
    ]
    assert [json.loads(record.raw) for record in records] == [{"a": 1}, {"a": 2}, {"a": [3]}]
