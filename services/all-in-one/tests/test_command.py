"""The `uplift` command when things go wrong, and what the first page tells to do."""

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar
from uuid import UUID

import pytest
import typer
from all_in_one import embedded
from all_in_one.commands import api_access, ingesting
from all_in_one.commands.table import lines_of
from all_in_one.embedded import Options
from all_in_one.front_page import front_page
from all_in_one.main import app
from all_in_one.suite import SERVICES
from typer.testing import CliRunner

NOBODY = "http://127.0.0.1:1"
UPLIFT = Path(sys.executable).parent / "uplift"


class _Stopping(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(500)
        self.send_header("content-type", "text/plain")
        self.end_headers()
        self.wfile.write(b"Internal Server Error")

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Silent(_Stopping):
    do_GET = do_POST = lambda self: None


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), request.param) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "calls.csv"
    path.write_text("a,b\n1,2\n")
    return path


@pytest.mark.parametrize("served", [_Stopping], indirect=True)
def test_an_answer_that_is_not_json_is_shown_as_it_is(served: str, file: Path) -> None:
    told = CliRunner().invoke(app, ["ingest", "--source", "s", "--url", served, "--token", "t", str(file)])
    assert (told.exit_code, "500: Internal Server Error" in told.output) == (2, True)
    told = CliRunner().invoke(app, ["dead-letters", "--url", served, "--token", "t"])
    assert (told.exit_code, "500: Internal Server Error" in told.output) == (1, True)


@pytest.mark.parametrize("served", [_Silent], indirect=True)
def test_a_connection_that_breaks_says_that_repeating_is_safe(served: str, file: Path) -> None:
    told = CliRunner().invoke(app, ["ingest", "--source", "s", "--url", served, "--token", "t", str(file)])
    assert (told.exit_code, "not taken twice" in told.output) == (1, True)


@pytest.mark.parametrize(
    "command",
    [
        ["token", "lead"],
        ["dead-letters", "--token", "t"],
        ["dead-letters", "replay", "--url", NOBODY, "--token", "t", "forms", str(UUID(int=7))],
    ],
)
def test_nobody_at_home_is_one_sentence(command: list[str]) -> None:
    told = CliRunner().invoke(app, command if "--url" in command else [*command, "--url", NOBODY])
    assert told.exit_code == 1
    assert "does not answer" in told.output
    assert "Traceback" not in told.output


@pytest.mark.parametrize(
    "command, said",
    [
        (["whoami", "--token", "令牌"], "--token (or UPLIFT_TOKEN) has characters that cannot be sent"),
        (["whoami", "--token", "two\nlines"], "--token (or UPLIFT_TOKEN) has characters that cannot be sent"),
        (["api", "identity/v1/me", "--token", "t", "--data", "{}", "--type", "类型"], "--type has characters"),
        (["ingest", "--source", "", "--token", "t", "FILE"], "--source is missing"),
        (["ingest", "--source", "..", "--token", "t", "FILE"], "--source is missing"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_it_is(command: list[str], said: str, file: Path) -> None:
    told = CliRunner().invoke(app, [str(file) if word == "FILE" else word for word in (*command, "--url", NOBODY)])
    assert (told.exit_code, told.stderr.count("\n")) == (1, 1), told.output
    assert said in told.stderr


@pytest.mark.parametrize("url", ["foo", "localhost:8080", "http://", "http://[x", "http://127.0.0.1:99999", "ftp://a"])
@pytest.mark.parametrize("command", [["status"], ["token", "lead"], ["whoami", "--token", "t"]])
def test_an_address_that_is_none_is_told_from_one_where_nobody_answers(command: list[str], url: str) -> None:
    told = CliRunner().invoke(app, [*command, "--url", url])
    assert (told.exit_code, told.stderr) == (
        1,
        f"`{url}` is not an address. Give one such as --url http://127.0.0.1:8080.\n",
    )


class _AnotherProgram(_Stopping):
    """A web server that answers everything with a page."""

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>It works!</h1>")

    do_GET = do_POST = do_PUT = _answer


@pytest.mark.parametrize("served", [_AnotherProgram], indirect=True)
@pytest.mark.parametrize(
    "command",
    [
        ["status"],
        ["token", "lead"],
        ["whoami", "--token", "t"],
        ["api", "identity/v1/me", "--token", "t"],
        ["receipt", "0197c0de-0000-7000-8000-000000000001", "--token", "t"],
        ["dead-letters", "--token", "t"],
        ["blueprint", "check", "--tenant", "a", "--token", "t", "FILE"],
        ["ingest", "--source", "s", "--token", "t", "FILE"],
    ],
)
def test_another_program_at_the_address_is_one_sentence(served: str, command: list[str], file: Path) -> None:
    told = CliRunner().invoke(app, [str(file) if word == "FILE" else word for word in (*command, "--url", served)])
    assert (told.exit_code, told.stdout, told.stderr.count("\n")) == (1, "", 1), told.output
    assert "is not Uplift" in told.stderr or "No identity provider answers" in told.stderr


def test_ids_and_services_are_checked_before_anything_is_sent() -> None:
    for command in (
        ["receipt", ""],
        ["receipt", "x"],
        ["receipts", "undo", ""],
        ["dead-letters", "replay", "training", "x"],
    ):
        assert CliRunner().invoke(app, [*command, "--token", "t", "--url", NOBODY]).exit_code == 2
    told = CliRunner().invoke(app, ["dead-letters", "--service", "nope", "--token", "t", "--url", NOBODY])
    assert (told.exit_code, "kpi-engine" in told.output) == (2, True)


def test_what_no_command_foresees_is_a_sentence_and_a_traceback_where_that_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(url: str | None) -> str:
        raise KeyError("surprise")

    monkeypatch.setattr(api_access, "address", fails)
    told = CliRunner().invoke(app, ["url"])
    assert (told.exit_code, told.stderr.count("\n")) == (1, 1)
    assert told.stderr.startswith("This failed: KeyError: 'surprise'. `uplift --traceback`")
    assert isinstance(CliRunner().invoke(app, ["--traceback", "url"]).exception, KeyError)


def test_output_that_cannot_be_written_is_one_sentence() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([UPLIFT, "url"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "This failed: No space left on device.\n")


RECEIPT = {
    "id": "0197c0de-0000-7000-8000-000000000001", "source": "pbx", "mode": "live", "status": "done",
    "received": 1204, "accepted": 1200, "unchanged": 0, "corrected": 1, "held": 2, "rejected": 1, "notes": [],
    "problems": [
        {"line": 7, "verdict": "rejected", "field": "talk", "reason": "not a duration: `soon`", "cure": "write 00:05:00"},
        {"line": 9, "verdict": "held", "field": None, "reason": "unknown_agent", "cure": None},
    ],
}  # fmt: skip


class _Receipts(_Stopping):
    """Answers as many receipts as there are in `answers`, one after another."""

    answers: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        while self.rfile.readline() != b"0\r\n":
            pass
        self.rfile.readline()
        body = json.dumps(self.answers.pop(0)).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.parametrize("served", [_Receipts], indirect=True)
@pytest.mark.parametrize(
    "changes, status",
    [({"held": 0, "rejected": 0}, 0), ({"rejected": 0}, 3), ({}, 2), ({"status": "interrupted", "rejected": 0}, 2)],
)
def test_the_exit_status_tells_what_waits_from_what_is_counted(
    served: str, file: Path, changes: dict[str, Any], status: int
) -> None:
    _Receipts.answers = [{**RECEIPT, **changes}]
    told = CliRunner().invoke(app, ["ingest", "--source", "s", "--url", served, "--token", "t", str(file)])
    assert told.exit_code == status, told.output


@pytest.mark.parametrize("served", [_Receipts], indirect=True)
def test_a_receipt_is_shown_in_lines_and_as_json_where_that_is_asked(served: str, file: Path) -> None:
    command = ["ingest", "--source", "s", "--url", served, "--token", "t", str(file)]
    _Receipts.answers = [RECEIPT, RECEIPT]
    told = CliRunner().invoke(app, command)
    lines = told.stdout.splitlines()
    assert lines[0] == f"{file}: 1,204 records: 1,200 accepted, 1 corrected, 2 held, 1 rejected"
    assert "  line 7 rejected: talk: not a duration: `soon`; write 00:05:00" in lines
    assert "  line 9 held: unknown_agent" in lines
    one = {"line": 2, "verdict": "rejected", "field": None, "reason": "The body is empty.", "cure": "Send a record."}
    told = ingesting.lines_of("calls.csv", {**RECEIPT, "received": 1, "held": 0, "problems": [one]})
    assert told[0].startswith("calls.csv: 1 record: ")
    assert told[-1] == "  line 2 rejected: The body is empty. Send a record."
    assert lines[-1].startswith("  … and 1 more")
    assert json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout) == RECEIPT


class _Undoing(_Stopping):
    """A receipt that goes on being taken back for a while after the answer."""

    left: ClassVar[list[str]] = []
    seen: ClassVar[list[str]] = []

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self.seen.append(f"{self.command} {self.path}")
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        self._send(200, {**RECEIPT, "status": self.left.pop(0)})

    def do_POST(self) -> None:
        self._send(200, {**RECEIPT, "status": "cancelled"})

    def do_DELETE(self) -> None:
        undone = {"records": 1204, "interactions": 600, "legs_changed": 3, "legs_voided": 597, "agents": ["a", "b"]}
        self._send(202 if self.left else 200, undone)


@pytest.mark.parametrize("served", [_Undoing], indirect=True)
def test_a_receipt_is_ended_and_taken_back(served: str) -> None:
    def run(*command: str) -> str:
        told = CliRunner().invoke(app, ["receipts", *command, RECEIPT["id"], "--url", served, "--token", "t"])
        assert told.exit_code == 0, told.output
        return told.stdout

    path = f"/api/ingest/v1/receipts/{RECEIPT['id']}"
    _Undoing.seen, _Undoing.left = [], []
    assert "cancelled; 1,204 records" in run("cancel")
    assert run("undo", "--dry-run").startswith("would take back 1,204 records of 600 interactions: 3 legs change")
    assert run("undo").startswith("took back 1,204 records")
    _Undoing.left = ["undoing", "undone"]
    assert "undone; 1,204 records" in run("undo")
    undo = f"DELETE {path}?dry_run=false"
    assert _Undoing.seen == [
        f"POST {path}/cancel", f"DELETE {path}?dry_run=true", undo, undo, f"GET {path}", f"GET {path}",
    ]  # fmt: skip


def test_choices_are_checked_before_anything_is_sent(file: Path) -> None:
    told = CliRunner().invoke(app, ["ingest", "--source", "s", "--mode", "replay", "--url", NOBODY, str(file)])
    assert told.exit_code == 2
    assert "'live'" in told.output


def test_the_version_and_the_groups_of_the_help() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout.startswith("uplift 0.")
    told = CliRunner().invoke(app, ["--help"]).stdout
    assert all(title in told for title in ("Run it here", "Use it", "Operate it for others", "Develop it"))


@pytest.mark.parametrize("name", ["up", "reset", "token", "login", "whoami", "status", "api", "ingest", "receipt"])
def test_the_help_of_each_command_has_an_example(name: str) -> None:
    assert f"Example: uplift {name}" in " ".join(CliRunner().invoke(app, [name, "--help"]).stdout.split()).replace(
        'curl "$(', ""
    ).replace("TOKEN=$(", "")


def test_a_login_without_a_terminal_says_how_to_give_the_password() -> None:
    told = CliRunner().invoke(app, ["login", "--one-time", "t", "--url", NOBODY])
    assert (told.exit_code, told.stdout) == (1, "")
    assert "--new-password" in told.stderr


def test_forgetting_is_asked_for_or_said(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    told = CliRunner().invoke(app, ["reset", "--data", str(tmp_path)])
    assert told.exit_code == 1
    assert "YES=1" in told.stderr
    told = CliRunner().invoke(app, ["reset", "--data", str(tmp_path), "--yes"])
    assert (told.exit_code, list(tmp_path.iterdir())) == (0, [])
    for folder in (tmp_path, tmp_path / "nowhere"):
        told = CliRunner().invoke(app, ["reset", "--data", str(folder)])
        assert (told.exit_code, told.stdout) == (0, f"Nothing to forget: there is no data in {folder}.\n")


@pytest.mark.parametrize("command", [["reset", "--yes"], ["up", "--no-demo", "--port", "1"]])
def test_a_folder_of_something_else_is_left_alone(command: list[str], tmp_path: Path) -> None:
    """A home, say: to start there would close it to everybody else, to forget it would remove files of these names."""
    for name in ("secret", "address", "mode"):
        (tmp_path / name).write_text("mine")
    tmp_path.chmod(0o755)
    told = CliRunner().invoke(app, [*command, "--data", str(tmp_path)])
    assert (told.exit_code, "none of Uplift's" in told.stderr) == (1, True), told.output
    assert {each.name: each.read_text() for each in tmp_path.iterdir()} == dict.fromkeys(
        ("secret", "address", "mode"), "mine"
    )
    assert tmp_path.stat().st_mode & 0o777 == 0o755
    told = CliRunner().invoke(app, [*command, "--data", str(tmp_path / "mode")])
    assert (told.exit_code, told.stderr) == (1, f"{tmp_path / 'mode'} is a file. Give a folder as --data.\n")


def test_the_help_leaves_the_ends_of_lines_to_the_terminal() -> None:
    told = CliRunner().invoke(app, ["ingest", "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).stdout
    assert "some records wait (for an agent who is not known yet, or for another part of the call)." in told


@pytest.mark.parametrize("demo", [True, False])
def test_the_box_fits_a_terminal_of_eighty_columns(demo: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = Options(tmp_path / ("very-long-folder-name" * 6), "127.0.0.1", 65535, demo, began=0.0)
    box = embedded._render_start_message(options, None if demo else "x" * 43)
    assert {len(line) for line in box.splitlines()} == {80}


def test_the_page_speaks_of_demo_users_only_where_there_are_any() -> None:
    with_demo = front_page(SERVICES, url="http://127.0.0.1:9", uplift="uplift", demo=True)
    without = front_page(SERVICES, url="http://127.0.0.1:9", uplift="uplift", demo=False)
    assert "uplift api --url http://127.0.0.1:9 --as lead" in with_demo
    assert "--as lead" not in without
    assert "uplift api --as platform identity/v1/tenants" in without
    assert "uplift blueprint publish --as boss" in without
    assert "/api/" not in without.partition("The first tenant")[2].partition("<script")[0], "the CLI's way"
    assert '{"slug": "acme"' in without


def test_generated_pages_are_checked_by_the_command_itself() -> None:
    told = CliRunner().invoke(app, ["docs", "--check"])
    assert told.exit_code == 0, (told.output, told.exception)


def test_an_answer_is_shown_by_the_fields_that_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    body = {
        "items": [
            {"window": "w1", "value": "5", "title": {"zh": "静默"}},
            {"window": "w2", "value": None, "title": None},
        ]
    }
    assert lines_of(body, ["value", "title.zh", "window"]) == ["5  静默  w1", "-  -     w2"]
    assert lines_of({"slug": "ada", "days": 3}, ["days"]) == ["3"]
    assert lines_of({"items": []}, ["days"]) == []
    with pytest.raises(typer.Exit):
        lines_of(body, ["windw"])
    assert capsys.readouterr().err == "There is no field `windw`. Fields: window, value, title.\n"
