"""What identity makes of the embedded provider's answers, also of bad ones."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from identity.clients.embedded import EmbeddedProvider
from identity.clients.provider import ProviderRefused
from identity.model.applications import Account, Machine
from servicekit.errors import Unavailable

DIALLER = Machine(protocol="machine", person="dialler")
ADA = Account("ada", "Ada Abel")


Said = dict[str, tuple[int, str]]


@pytest.fixture
def said() -> Said:
    """What the provider answers, by method and first part of the path. Else it has nothing there."""
    return {"POST token": (200, '{"access_token": "t"}')}


@pytest.fixture
def provider(said: Said) -> Iterator[EmbeddedProvider]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, body = said.get(f"{self.command} {self.path.split('/')[1]}", (404, '{"detail": "Not there."}'))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        do_POST = do_PUT = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield EmbeddedProvider(f"http://127.0.0.1:{server.server_port}", "uplift-identity", "secret")
    server.shutdown()
    thread.join()
    server.server_close()


async def test_what_it_refuses_is_explained(provider: EmbeddedProvider, said: Said) -> None:
    fault = {"loc": ["path", "client_id"], "msg": "String should be shorter", "type": "x"}
    answer = {"detail": "The request is not valid.", "errors": [fault]}
    said["PUT clients"] = (422, json.dumps(answer))
    with pytest.raises(
        ProviderRefused, match=r"^The request is not valid\. path\.client_id: String should be shorter\.$"
    ):
        await provider.ensure_application("acme", "dialler", DIALLER, secret=None)


@pytest.mark.parametrize("body", ["{}", "no JSON", ""])
async def test_a_call_with_an_invalid_answer_is_sent_again(provider: EmbeddedProvider, said: Said, body: str) -> None:
    said |= {"PUT clients": (200, body), "PUT accounts": (200, body)}
    with pytest.raises(Unavailable, match="cannot be understood"):
        await provider.ensure_application("acme", "dialler", DIALLER, secret=None)
    with pytest.raises(Unavailable, match="cannot be understood"):
        await provider.ensure_account("acme", ADA, password=None)
    said["POST token"] = (200, body)
    with pytest.raises(Unavailable, match="cannot be understood"):
        await provider.remove_application("acme", "dialler", DIALLER)


async def test_a_call_with_an_error_without_details_is_sent_again(provider: EmbeddedProvider, said: Said) -> None:
    said["PUT accounts"] = (400, "Invalid host header")
    with pytest.raises(Unavailable, match="cannot be understood"):
        await provider.ensure_account("acme", ADA, password=None)


async def test_what_is_not_there_is_fine_only_where_it_shall_not_be(provider: EmbeddedProvider, said: Said) -> None:
    await provider.remove_application("acme", "dialler", DIALLER)
    await provider.close_account("acme", ADA)
    await provider.close_account("acme", Account("ada", "Ada Abel", linked=True))
    with pytest.raises(ProviderRefused, match="Not there"):
        await provider.ensure_account("acme", ADA, password=None)
    del said["POST token"]
    with pytest.raises(ProviderRefused, match="Not there"):
        await provider.remove_application("acme", "dialler", DIALLER)
