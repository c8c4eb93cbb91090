"""The `uplift` command when things go wrong, and what the first page tells to do."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from all_in_one.front_page import front_page
from all_in_one.main import app
from all_in_one.suite import SERVICES
from typer.testing import CliRunner

NOBODY = "http://127.0.0.1:1"


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
        ["dead-letters", "replay", "--url", NOBODY, "--token", "t", "forms", "0"],
    ],
)
def test_nobody_at_home_is_one_sentence(command: list[str]) -> None:
    told = CliRunner().invoke(app, command if "--url" in command else [*command, "--url", NOBODY])
    assert told.exit_code == 1
    assert "does not answer" in told.output
    assert "Traceback" not in told.output


def test_the_page_speaks_of_demo_users_only_where_there_are_any() -> None:
    with_demo = front_page(SERVICES, url="http://127.0.0.1:9", uplift="uplift", demo=True)
    without = front_page(SERVICES, url="http://127.0.0.1:9", uplift="uplift", demo=False)
    assert "uplift token lead --url http://127.0.0.1:9" in with_demo
    assert "token lead" not in without
    assert "/api/identity/v1/tenants" in without
    assert '{"slug": "acme"' in without


def test_generated_pages_are_checked_by_the_command_itself() -> None:
    told = CliRunner().invoke(app, ["docs", "--check"])
    assert told.exit_code == 0, (told.output, told.exception)
