"""The largest file, packed body and form that are taken hold the event loop for no longer than 50 ms."""

import json
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from forms.model.limits import ANSWERS_BYTES, DEFINITION_BYTES, MAX_PATTERNS, MAX_QUESTIONS
from identity.api.access import BLUEPRINT_BYTES, UPLOAD_BYTES
from ingest.settings import IngestSettings

from tests.hostile.conftest import HostileSuite, thorough
from tests.hostile.loop_watch import collected_as_in_a_server, record_loop_blockers
from tests.hostile.set_up import PEOPLE

pytestmark = [pytest.mark.timeout(7200), pytest.mark.slow]
READ_BYTES = 1 << 18
"""Of a body, how much a server reads at once."""
LARGEST_SHARE = 8
"""Of what a packed body may inflate to, which is a matter of many minutes."""
SHORT_GZIP_BYTES = 32 << 20
"""What the packed body inflates to, where not everything is tried."""


@pytest.fixture
async def steady_suite(own_suite: HostileSuite) -> AsyncIterator[HostileSuite]:
    with collected_as_in_a_server():
        yield own_suite


async def as_received(body: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(body), READ_BYTES):
        yield body[at : at + READ_BYTES]


async def ask(
    client: httpx.AsyncClient, what: str, body: bytes, *, status: int | tuple[int, ...] = 200, **headers: str
) -> Any:
    """The answer. Fails when another status is answered, or when the loop was held meanwhile; what only tries may do so once,
    since on a loaded machine new memory costs several times as much."""
    method, address = what.split(" ", 1)
    sent = {"content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    with record_loop_blockers() as held:
        answer = await client.request(method, address, content=as_received(body), headers=sent, timeout=None)
    if held and "dry_run" in what:
        with record_loop_blockers() as held:
            answer = await client.request(method, address, content=as_received(body), headers=sent, timeout=None)
    told = f"{what} {len(body):,} bytes {headers}"
    known = (status,) if isinstance(status, int) else status
    assert answer.status_code in known, f"{told}: {answer.status_code} {answer.text[:500]}"
    assert held == [], "\n".join([told, *(f"{took * 1000:.0f} ms in {where}" for took, where in held)])
    return answer.json()


def lines(head: str, line: str, most: int) -> bytes:
    """CSV of at most that many bytes; `#` is the number of the line, `~` fills it."""
    count = most // (len(line) + 8)
    return (head + "".join(line.replace("#", f"{number:06}") for number in range(count))).encode()[:most]


def sheet(columns: str, line: str, most: int = UPLOAD_BYTES) -> bytes:
    return lines(f"slug,display_name{columns}\n", f"n#,New #{line}\n", most).rpartition(b"\n")[0]


CELLS = 190


def sheets() -> Iterator[bytes]:
    """Those that take half a minute to read come last."""
    yield sheet(",attribute:a", f",{'x' * 5_001}")
    if thorough():
        yield sheet("".join(f",attribute:a{each}" for each in range(CELLS)), f",{'x' * 40}" * CELLS)
        yield sheet(",email,hire_date,attribute:a", f",n#@example.org,2026-01-05,{'x' * 60}")


async def test_the_largest_file_of_people(steady_suite: HostileSuite) -> None:
    """Where reading takes too long for its deadline, that is refused."""
    client, taken = steady_suite.client("identity"), (200, 422)
    # What is done once in a process is not measured.
    await ask(client, "POST /people/import?dry_run=true", b"slug,display_name\none,One", content_type="text/csv")
    for body in sheets():
        form = b'--x\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n' + body + b"\r\n--x--\r\n"
        kind = "multipart/form-data; boundary=x"
        await ask(client, "POST /people/import?dry_run=true", form, status=taken, content_type=kind)
        written = "POST /people/import" if thorough() else "POST /people/import?dry_run=true"
        await ask(client, written, body, status=taken, content_type="text/csv")


async def test_a_file_of_many_people_is_written(steady_suite: HostileSuite) -> None:
    body = sheet(
        ",email,hire_date,org_path", ",n#@example.org,2026-01-05,Site/Team #", 2_000_000 if thorough() else 60_000
    )
    report = await ask(steady_suite.client("identity"), "POST /people/import", body, content_type="text/csv")
    assert len(report["created"]) > 500


def records(most: int, fill: int) -> Iterator[bytes]:
    """NDJSON of at most so many bytes, in records that have `fill` bytes more than what is needed of a call."""
    taken, number = 0, 0
    noise = json.dumps([f"{each * 7919 % 100_003:05}" for each in range(fill // 9)]).encode()
    while True:
        number += 1
        line = b'{"id": "c%d", "start": "2026-03-03T09:00:00Z", "agent": "ada", "talk": 60, "x": %s}\n' % (
            number,
            noise,
        )
        taken += len(line)
        if taken > most:
            return
        yield line


def packed(pieces: Iterator[bytes]) -> bytes:
    """In one stream, without having all of it in memory."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(each) for each in pieces), packer.flush()])


async def test_the_largest_files_of_calls(steady_suite: HostileSuite) -> None:
    client = steady_suite.client("ingest")
    csv = lines("id,start,agent,talk,note\n", f"c#,2026-03-03T09:00:00Z,ada,60,{'x' * 900}\n", UPLOAD_BYTES)
    await ask(client, "POST /sources/calls/records", csv[:100_000], content_type="text/csv")
    await ask(client, "POST /sources/calls/records", csv, content_type="text/csv")
    inflated = (IngestSettings().inflated_mb << 20) // LARGEST_SHARE if thorough() else SHORT_GZIP_BYTES
    for fill in (4_000, 1_000_000, 7_000_000):
        receipt = await ask(client, "POST /sources/calls/records", packed(records(inflated, fill)))
        assert receipt["status"] == "done"


def largest_form() -> dict[str, Any]:
    """As many questions as there may be, with as many patterns, choices and conditions as there is room for."""
    names = [f"q{number}" for number in range(MAX_QUESTIONS)]
    kinds: list[Any] = [
        {"type": "string", "enum": [f"choice-{each}" for each in range(8)]},
        {"type": "integer", "minimum": 0, "maximum": 10},
        {"type": "string", "maxLength": 500},
    ]
    properties = {
        name: {"title": "A question that is asked of everybody. " * 5, **kinds[number % 3]}
        for number, name in enumerate(names)
    }
    for number in range(MAX_PATTERNS):
        properties[f"q{number * 3 + 2}"]["pattern"] = f"^([a-z]{{1,20}} ?){{0,{number + 2}}}$"
    conditions = {
        name: {"any": [{"question": "q0", "value": f"choice-{each}"} for each in range(4)]} for name in names[1:]
    }
    form = {"form": "largest", "title": {"en": "Largest"}, "kind": "note", "logic": {"questions": conditions}}
    form["schema"] = {"type": "object", "properties": properties}
    room = DEFINITION_BYTES - len(json.dumps(form)) - 1000
    for name in names:
        properties[name]["description"] = "x" * (room // MAX_QUESTIONS - 20)
    return form


async def test_the_largest_form(steady_suite: HostileSuite) -> None:
    client, form = steady_suite.client("forms"), largest_form()
    body = json.dumps(form).encode()
    assert DEFINITION_BYTES * 0.9 < len(body) < DEFINITION_BYTES
    await ask(client, "PUT /forms/largest", body, content_type="application/json")
    await ask(client, "POST /forms/largest/publish", b"")
    await ask(client, "GET /forms/largest", b"")
    answers = {
        f"q{number}": "choice-1" if number % 3 == 0 else 5 if number % 3 == 1 else "abc"
        for number in range(MAX_QUESTIONS)
    }
    for number in range(MAX_PATTERNS, MAX_QUESTIONS // 3):
        answers[f"q{number * 3 + 2}"] = "x" * 500
    filled = json.dumps({"agent": "ada", "answers": answers, "notes": "x" * 1000}).encode()
    assert len(filled) < ANSWERS_BYTES
    await ask(client, "POST /forms/largest/submissions", filled, status=201, content_type="application/json")


async def test_the_largest_blueprint(steady_suite: HostileSuite) -> None:
    people = [
        {"slug": f"n{number}", "display_name": "x" * 80, "memberships": [{"org_unit": "team-a", "valid_from": "2026-01-05"}]}
        for number in range(BLUEPRINT_BYTES // 195)
    ]  # fmt: skip
    bundle = {"blueprint": "large", "sections": {"identity": {**PEOPLE, "people": [*PEOPLE["people"], *people]}}}
    body = json.dumps(bundle).encode()
    assert BLUEPRINT_BYTES * 0.9 < len(body) < BLUEPRINT_BYTES, len(body)
    await ask(
        steady_suite.client("identity"),
        "PUT /tenants/acme/blueprint?dry_run=true",
        body,
        content_type="application/json",
    )
