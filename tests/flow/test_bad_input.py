"""Bad input at the running door: each body gets a receipt with lines and cures, in bounded memory, beside other calls."""

import gzip
import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.flow.scenario import SOURCE, TEAMS, analysis, contact, ndjson, records_of, workday
from tests.flow.steps import set_up_tenant, user
from tests.flow.suite import PLAIN, Embedded

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]

TENANT = "careless"
BOSS = user("boss", TENANT)
MB = 1 << 20
ROOM = 150 * MB
SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
CSV_MAPPING = {
    "time_zone": "Europe/Berlin",
    "time_format": "%d.%m.%Y %H:%M:%S",
    "fields": {
        "contact": {"from": "Anruf"},
        "started": {"from": "Beginn"},
        "channel": {"value": "voice"},
        "agent": {"from": "Bearbeiter"},
        "queue": {"from": "Warteschlange"},
        "talk_ms": {"from": "Gespräch", "unit": "s"},
        "answered": {"value": True},
    },
}


@pytest.fixture(scope="module")
def suite(started: Embedded) -> Embedded:
    """A tenant with a second source, of CSV, that knows ada as Jürgen."""
    set_up_tenant(started, TENANT)
    ids = [{"source": SOURCE, "external_id": "ada"}, {"source": "calls", "external_id": "Jürgen"}]
    started.call(BOSS, "PATCH", "/api/identity/v1/people/ada", json={"external_ids": ids})
    started.call(BOSS, "PUT", "/api/ingest/v1/sources/calls", json={"vendor": "generic", "mapping": CSV_MAPPING})
    started.wait_until_idle()
    return started


def post(suite: Embedded, body: bytes | Iterable[bytes], source: str = SOURCE, **headers: str) -> dict[str, Any]:
    """The receipt, which is the same when it is asked for again, and says of every problem where, why and the cure."""
    path = f"/api/ingest/v1/sources/{source}/records"
    receipt = suite.call(BOSS, "POST", path, content=body, headers=headers)
    assert receipt["status"] == "done"
    verdicts = ("accepted", "unchanged", "corrected", "held", "rejected")
    assert sum(receipt[verdict] for verdict in verdicts) == receipt["received"]
    for problem in receipt["problems"]:
        assert problem["line"] >= 1
        assert problem["reason"], problem
        assert problem["cure"], problem
    assert suite.call(BOSS, "GET", f"/api/ingest/v1/receipts/{receipt['id']}") == receipt
    return receipt


def rejected(receipt: dict[str, Any]) -> list[tuple[int, str]]:
    return [(each["line"], each["reason"]) for each in receipt["problems"] if each["verdict"] == "rejected"]


def calls_of(day: int, count: int) -> list[dict[str, Any]]:
    """Contact records of ada's, as many as wanted, all of one day."""
    return [{**contact("ada", day, 0), "ContactId": f"many-{day}-{n}"} for n in range(count)]


# Memory, and the others


def memory(suite: Embedded, what: str) -> int:
    """Bytes of the server's process: VmRSS now, VmHWM at most since the mark was reset."""
    assert suite.process is not None
    for line in Path(f"/proc/{suite.process.pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"the system does not tell {what}")


@contextmanager
def in_bounded_memory(suite: Embedded) -> Iterator[None]:
    assert suite.process is not None
    Path(f"/proc/{suite.process.pid}/clear_refs").write_text("5")
    before = memory(suite, "VmRSS")
    yield
    grown = memory(suite, "VmHWM") - before
    assert grown < ROOM, f"{grown / MB:.0f} MB more than before at the worst moment"


@contextmanager
def others_are_answered(suite: Embedded) -> Iterator[None]:
    """While the block runs, somebody else keeps asking, and is answered in time."""
    done, waits, statuses = threading.Event(), list[float](), set[int]()
    headers = {"authorization": f"Bearer {suite.token(user('lea', TENANT))}"}

    def ask() -> None:
        with httpx.Client(base_url=suite.url, headers=headers, timeout=30, verify=PLAIN) as client:
            while not (waits and done.is_set()):
                began = time.monotonic()
                statuses.add(client.get("/api/kpi-engine/v1/bands").status_code)
                waits.append(time.monotonic() - began)
                time.sleep(0.02)  # sleep: somebody who asks now and then

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        done.set()
        asking.join(60)
    assert statuses == {200}
    assert max(waits) < 5, f"somebody waited {max(waits):.1f} s"


@pytest.fixture(scope="module")
def grown(suite: Embedded) -> Iterator[None]:
    """Over all of these bodies together, too, the server does not grow."""
    post(suite, ndjson(calls_of(20, 2000)))  # what it needs for ordinary work
    suite.wait_until_idle()
    before = memory(suite, "VmRSS")
    yield
    assert memory(suite, "VmRSS") - before < ROOM


pytest_linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Only Linux tells of memory so.")


# The bodies


@pytest_linux
@pytest.mark.usefixtures("grown")
class TestLargeAndBroken:
    def test_a_line_of_200_mb(self, suite: Embedded) -> None:
        first, last = calls_of(0, 2)

        def body() -> Iterator[bytes]:
            yield ndjson([first]) + b'{"ContactId": "'
            for _ in range(200):
                yield b"x" * MB
            yield b'"}\n' + ndjson([last])

        with in_bounded_memory(suite), others_are_answered(suite):
            receipt = post(suite, body())
        assert (receipt["received"], receipt["accepted"], receipt["rejected"]) == (3, 2, 1)
        assert rejected(receipt) == [(2, "The line is longer than 8 MB.")]
        assert receipt["bytes"] > 200 * MB

    @pytest.mark.parametrize("fill", [b"\0" * MB, b'{"x": "' + b"x" * MB + b'"}\n'], ids=["zeros", "records"])
    def test_a_gzip_bomb(self, suite: Embedded, fill: bytes) -> None:
        """A few MB that would be gigabytes: refused as soon as it shows; what came before it stands."""
        members = [gzip.compress(ndjson(calls_of(1, 1))), *[gzip.compress(fill * 16, 9)] * 128]
        with in_bounded_memory(suite), others_are_answered(suite):
            receipt = post(suite, iter(members), **{"content-encoding": "gzip"})
        assert receipt["accepted"] + receipt["unchanged"] == 1
        if fill[:1] == b"\0":
            assert "times its size" in rejected(receipt)[-1][1]
        else:  # what it holds is not worth reading on long before that
            assert receipt["rejected"] <= 1_001
        assert receipt["bytes"] < sum(map(len, members))

    def test_thousands_of_rejected_lines(self, suite: Embedded) -> None:
        """Among good ones: each of the first thousand is told, a page at a time, the others are counted."""
        wrong = [
            b"{not json}",
            b'{"ContactId": "x"}',
            json.dumps({**contact("ada", 2, 0), "Channel": "PIGEON"}).encode(),
            json.dumps({**contact("ada", 2, 0), "InitiationTimestamp": "yesterday"}).encode(),
        ]
        good = [json.dumps(each).encode() for each in calls_of(2, 250)]
        lines = [good[n // 20] if n % 20 == 0 else wrong[n % len(wrong)] for n in range(5_000)]
        with in_bounded_memory(suite), others_are_answered(suite):
            receipt = post(suite, gzip.compress(b"\n".join(lines)))
        assert (receipt["received"], receipt["rejected"], receipt["accepted"]) == (5_000, 4_750, 250)
        told = suite.all_items(BOSS, f"/api/ingest/v1/receipts/{receipt['id']}/records", verdict="rejected")
        assert [each["line"] for each in told] == [n + 1 for n in range(5_000) if n % 20][:1_000]
        assert receipt["not_kept"] == 3_750
        assert all(each["reason"] and each["cure"] for each in told)
        assert {each["field"] for each in told} >= {"Channel", "InitiationTimestamp"}

    def test_broken_gzip(self, suite: Embedded) -> None:
        records = [{**each, "CustomerEndpoint": {"Address": f"+49{n:09}"}} for n, each in enumerate(calls_of(3, 3000))]
        whole = gzip.compress(ndjson(records))
        damaged = bytearray(whole)
        damaged[len(whole) // 2 : len(whole) // 2 + 64] = b"\xff" * 64
        with in_bounded_memory(suite):
            for broken, reason in (
                (whole[: len(whole) // 2], "The gzip data ends before its end."),
                (bytes(damaged), "damaged"),
            ):
                receipt = post(suite, broken, **{"content-encoding": "gzip"})
                assert receipt["accepted"] + receipt["unchanged"] + receipt["corrected"] > 500, (
                    "what came before stands"
                )
                assert receipt["rejected"] >= 1
                path = f"/api/ingest/v1/receipts/{receipt['id']}/records"
                assert reason in suite.all_items(BOSS, path, verdict="rejected")[-1]["reason"]


def test_truncated_json(suite: Embedded) -> None:
    whole = json.dumps(calls_of(4, 3), indent=1).encode()
    receipt = post(suite, whole[: whole.rindex(b"DisconnectReason")])
    assert (receipt["accepted"], receipt["rejected"]) == (2, 1)
    ((line, _),) = rejected(receipt)
    assert line > 1
    (again,) = rejected(post(suite, ndjson(calls_of(4, 1))[:-20]))
    assert again[0] == 1
    suite.wait_until_idle()
    params = {"by": "agent", "from": workday(4).isoformat(), "to": workday(4).isoformat()}
    (value,) = suite.call(BOSS, "GET", "/api/kpi-engine/v1/kpis/aht/values", params=params)["items"]
    assert (float(value["value"]), value["sample"]) == (230, 2), "the whole ones count"


SHEET = (
    "Anruf;Beginn;Bearbeiter;Warteschlange;Gespräch\r\n"
    '{0}-1;12.03.2026 09:15:00;Jürgen;"Rückfragen; Störungen";120\r\n'
    "{0}-2;12.03.2026 25:15:00;Jürgen;Rückfragen;60\r\n"
    "{0}-3;12.03.2026 10:00:00;Jürgen;Rückfragen;-5\r\n"
    "{0}-4;12.03.2026 11:00:00;Jürgen;Rückfragen\r\n"
    "{0}-5;12.03.2026 12:00:00;Jürgen;Rückfragen;30\r\n"
)


@pytest.mark.parametrize(
    "encoding,note",
    [("utf-8-sig", "';'"), ("latin-1", "Windows-1252"), ("utf-16", "UTF-16")],
)
def test_csv_with_mark_semicolons_and_other_encodings(suite: Embedded, encoding: str, note: str) -> None:
    """120 s and 30 s of talk stand; a wrong hour, a negative duration and a short row are told with their lines."""
    receipt = post(suite, SHEET.format(encoding).encode(encoding), "calls", **{"content-type": "text/csv"})
    assert (receipt["accepted"], receipt["rejected"]) == (2, 3), receipt
    assert [line for line, _ in rejected(receipt)] == [3, 4, 5]
    assert any(note in each for each in receipt["notes"])
    (call,) = suite.all_items(BOSS, "/api/ingest/v1/interactions", external_id=f"{encoding}-1")
    (leg,) = call["legs"]
    assert (leg["queue"], leg["agent_external_id"], leg["talk_ms"]) == ("Rückfragen; Störungen", "Jürgen", 120_000)
    assert leg["started_at"] == "2026-03-12T08:15:00Z", "Berlin's winter"


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("calls.json", "[]")
    return out.getvalue()


@pytest.mark.parametrize(
    "body",
    [b"", b" \n\n", b"<html></html>", zipped(), b"[1, 2, 3]", b"[" * 50_000, b'{"a":' * 50_000],
    ids=["empty", "blank", "HTML", "zip", "numbers", "deep lists", "deep objects"],
)
def test_what_is_no_records_at_all(suite: Embedded, body: bytes) -> None:
    receipt = post(suite, body)
    assert receipt["rejected"] == receipt["received"] >= 1


@pytest.mark.parametrize(
    "body", [b"null", b"hello", b"\xff" * 100, b"a;b;c\r\n"], ids=["null", "a word", "bytes", "header"]
)
def test_a_header_without_rows_is_not_passed_over_in_silence(suite: Embedded, body: bytes) -> None:
    """Any line may be the header of a CSV file; that nothing follows it is said."""
    receipt = post(suite, body)
    assert receipt["accepted"] == 0
    assert receipt["rejected"] or any("header" in note for note in receipt["notes"]), receipt


def test_what_a_record_may_get_wrong(suite: Embedded) -> None:
    """Times without zone or impossible, negative durations, unknown values, nulls: a verdict for each, never a zero."""

    def wrong(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        record = contact("ada", 5, 0)
        change(record)
        return record

    cases: dict[str, Callable[[dict[str, Any]], None]] = {
        "InitiationTimestamp": lambda record: record.update(InitiationTimestamp="2026-03-09T09:00:00"),
        "DisconnectTimestamp": lambda record: record.update(DisconnectTimestamp="2026-03-01T09:00:00Z"),
        "Agent.AgentInteractionDuration": lambda record: record["Agent"].update(AgentInteractionDuration=-1),
        "Agent.CustomerHoldDuration": lambda record: record["Agent"].update(CustomerHoldDuration="long"),
        "Channel": lambda record: record.update(Channel=None),
        "InitiationMethod": lambda record: record.update(InitiationMethod="TELEPATHY"),
        "ContactId": lambda record: record.update(ContactId=None),
    }
    receipt = post(suite, ndjson([wrong(change) for change in cases.values()]))
    assert receipt["rejected"] == len(cases), receipt
    assert [each["field"] for each in receipt["problems"]] == list(cases)


# The vendors' own payloads

with_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="The vendors' samples do not lie beside this checkout.")


@with_samples
@pytest.mark.parametrize(
    "name,verdict,field",
    [
        ("amazon_connect__contact_lens_post_call.json", "rejected", "CustomerMetadata.ContactId"),
        ("amazon_connect__contact_lens_post_call_redacted.json", "rejected", "CustomerMetadata.ContactId"),
        ("amazon_connect__contact_event_1.json", "held", None),
        ("amazon_connect__contact_event_2.json", "held", None),
        ("amazon_connect__agent_event.json", "held", "agent"),
        ("amazon_connect__evaluation_export.json", "rejected", "evaluationId"),
        ("amazon_transcribe__call_analytics.json", "rejected", "JobName"),
        ("genesys__conversation_detail.json", "rejected", "conversationId"),
        ("twilio__taskrouter_events.json", "rejected", "account_sid"),
        ("twilio__taskrouter_reservations.json", "rejected", "account_sid"),
    ],
)
def test_vendors_payloads_get_a_verdict_that_says_why(
    suite: Embedded, name: str, verdict: str, field: str | None
) -> None:
    receipt = post(suite, (SAMPLES / name).read_bytes())
    assert receipt[verdict] == receipt["received"] >= 1, receipt
    assert {each["field"] for each in receipt["problems"]} == {field}


@with_samples
@pytest.mark.parametrize("name", ["contact_lens_post_call", "contact_lens_post_call_redacted"])
def test_contact_lens_with_its_contact_gives_its_own_figures(suite: Embedded, name: str) -> None:
    sample = json.loads((SAMPLES / f"amazon_connect__{name}.json").read_bytes())
    record = {**contact("ada", 6, 0), "ContactId": name}
    lens = {**sample, "CustomerMetadata": {**sample.get("CustomerMetadata", {}), "ContactId": name}}
    receipt = post(suite, json.dumps([lens, record]).encode())
    assert receipt["rejected"] == receipt["held"] == 0, receipt
    (call,) = suite.all_items(BOSS, "/api/ingest/v1/interactions", external_id=name)
    (leg,) = call["legs"]
    own = sample["ConversationCharacteristics"]
    assert leg["conversation_ms"] == own["TotalConversationDurationMillis"]
    assert leg["silence_vendor_ms"] == own["NonTalkTime"]["TotalTimeMillis"]
    assert leg["overtalk_ms"] == own["Interruptions"]["TotalTimeMillis"]


def test_after_all_that_a_good_file_is_taken_as_ever(suite: Embedded) -> None:
    receipt = post(suite, ndjson(records_of(8)))
    assert receipt["rejected"] == receipt["held"] == 0
    suite.wait_until_idle()
    params = {"by": "agent", "from": workday(8).isoformat(), "to": workday(8).isoformat()}
    found = suite.call(BOSS, "GET", "/api/kpi-engine/v1/kpis/silence_pct/values", params=params)["items"]
    assert len(found) == len(TEAMS)
    assert suite.call(BOSS, "GET", "/api/kpi-engine/v1/reconciliation")["differences"] == []
    assert post(suite, ndjson([analysis("ada", 8, 0)]))["unchanged"] == 1
