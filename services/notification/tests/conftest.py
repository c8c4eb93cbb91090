"""Tenants with two teams, a real SMTP server, and a real HTTP receiver that can answer with errors."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest
from aiosmtpd.handlers import Message
from aiosmtpd.smtp import SMTP
from notification.service import service, wire
from notification.settings import NotificationSettings
from testkit import org_unit, person

RULES = [
    {"rule": "agent-notice", "on": "assignment.assigned", "to": "agent", "channels": ["in_app", "email"]},
    {"rule": "lead-notice", "on": "assignment.assigned", "to": "leads"},
    {"rule": "worst", "on": "band.entered", "to": "leads", "when": {"band": ["coach", "urgent"]}},
    {"rule": "trainers", "on": "assignment.overdue", "to": "role:trainer"},
    {"rule": "forms", "on": "form.published", "to": "role:quality_analyst"},
]


@dataclass
class Receiver:
    """Answers each request with the next of `answers` (status, headers, delay in seconds); the last one repeats."""

    answers: list = field(default_factory=lambda: [(200, {}, 0)])
    seen: list = field(default_factory=list)
    port: int = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    async def handle(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = dict(line.lower().split(": ", 1) if ": " in line else (line, "") for line in lines[1:] if line)
            original = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            self.seen.append((lines[0], {k.lower(): v for k, v in original.items()}, body))
            status, extra, wait = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            await asyncio.sleep(wait)  # sleep: a receiver as slow as the test requires
            more = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
            writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n{more}\r\n".encode())
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@pytest.fixture
async def receiver():
    made = Receiver()
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


class Mailbox(Message):
    """An SMTP server. `refuse`: responses to the next recipients, in order."""

    def __init__(self):
        super().__init__()
        self.mails = []
        self.refuse = []
        self.port = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.refuse:
            return self.refuse.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    def handle_message(self, message):
        self.mails.append(message)


@pytest.fixture
async def mailbox():
    handler = Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(handler), "127.0.0.1", 0)
    handler.port = server.sockets[0].getsockname()[1]
    yield handler
    server.close()


@pytest.fixture
def settings():
    """Settings that a test may change before the harness starts. Time limits are long enough for a slow machine."""
    return {"webhook_allow_loopback": True, "webhook_timeout_seconds": 60, "lease_seconds": 600}


@pytest.fixture
async def notification(harness_for, settings):
    def own_wire(kit):
        return wire(kit, NotificationSettings(**settings))

    h = await harness_for(replace(service, wire=own_wire))
    people = [
        person("ada", team="a", roles=[("agent", "a")], email="ada@example.org"),
        person("adam", roles=["tenant_admin"]),
        person("wei", team="b", roles=[("agent", "b")], language="zh-CN", display_name="Wei"),
        person("lea", team="a", roles=[("team_lead", "a")]),
        person("leo", roles=[("team_lead", "b")]),
        person("sam", roles=[("team_lead", "site")]),
        person("tom", roles=[("trainer", "b")]),
        person("tea", roles=["trainer"]),
        person("quinn", roles=["quality_analyst"]),
        person("gone", roles=[("team_lead", "a")], active=False),
    ]
    units = [org_unit("site"), org_unit("a", parent="site"), org_unit("b", parent="site")]
    await h.apply_directory("t1", org_units=units, people=people)
    await h.apply_directory("t2", org_units=units, people=people[:2])
    for tenant in ("t1", "t2"):
        assert (await h.client_as("adam", tenant).put("/rules", json={"rules": RULES})).status_code == 200
    await h.clear_outbox()
    return h


@asynccontextmanager
async def working(h):
    """Runs the service's workers, as the role `work` does."""
    (run,) = h.running.parts.background
    h.context.stopping.clear()
    task = asyncio.create_task(run(h.context))
    try:
        yield
    finally:
        h.context.stopping.set()
        await task
        h.context.stopping.clear()


@pytest.fixture
def work():
    return working


@pytest.fixture
def tick(notification):
    async def at(moment=None):
        return await notification.tick(moment or datetime.now(UTC))

    return at
