"""The embedded shape: PostgreSQL, the identity provider of development and all services in one process tree on one port."""

import asyncio
import errno
import hmac
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any

import dev_idp
import psycopg
from contracts.directory import PLATFORM_TENANT, Login
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from identity.actions import ensure_platform
from identity.service import service as identity
from identity.service import wire as wire_identity
from identity.settings import IdentitySettings
from pydantic import SecretStr
from servicekit import Service
from servicekit.budget import exit_when_hung
from servicekit.outbound import UrlPolicy
from servicekit.run import Process, root_app, run_services
from servicekit.server import Server
from servicekit.settings import PlatformSettings
from servicekit.wiring import LOG_TABLE_MIGRATIONS, migrate_all, migrate_schema
from simulator.demo import LOGINS, PASSWORD
from sqlalchemy.ext.asyncio import AsyncEngine
from storage import create_engine
from storage.embedded import EmbeddedPostgres

from all_in_one.commands.client import DATA_FOLDERS
from all_in_one.demo_set_up import PLATFORM_ADMIN, prepare_embedded
from all_in_one.front_page import PAGE_HEADERS, front_page
from all_in_one.suite import SERVICES

DATABASE = "uplift"
ISSUER_NAME = "embedded"
_WIDTH = 76
"""Columns of text in the start message: with its frame it fits 80."""


class CannotStart(Exception):
    """The message says why, and the cure, in one sentence."""


@dataclass(frozen=True)
class Options:
    """How to run the embedded shape. `speed` is the simulator's; `began` is the start of the command, on the monotonic clock."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8080
    demo: bool = True
    simulate: bool = True
    speed: float = 1.0
    began: float = 0.0

    @property
    def url(self) -> str:
        """The address that browsers and the command use."""
        return f"http://{self.host}:{self.port}"


def say(text: str) -> None:
    """Prints a line at once, for whoever waits at the terminal."""
    print(text, flush=True)


def check_port(host: str, port: int, option: str = "make up PORT=") -> None:
    """Raises CannotStart when the port is in use or not permitted; the message shows how to set another with `option`."""
    how = option if option.endswith("=") else f"{option} "
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CannotStart(
                    f"Port {port} is in use. Stop what listens there, or: {how}{port % 65535 + 1}"
                ) from None
            if error.errno == errno.EACCES:
                raise CannotStart(
                    f"Port {port} needs more rights than you have. Take one above 1023: {how}8080"
                ) from None
            raise CannotStart(f"{host}:{port} cannot be listened on ({error.strerror}).") from None


def check_mode(data: Path, *, demo: bool) -> None:
    """Raises CannotStart when the folder was created in the other mode: the demo has accounts with public passwords, which an
    empty installation must not have."""
    file, mode = data / "mode", "demo" if demo else "empty"
    try:
        stored = file.read_text().strip()
    except FileNotFoundError:
        file.write_text(mode)
        return
    if stored != mode:
        other, cure = ("the demo", "`make up`") if stored == "demo" else ("an empty start", "`make up DEMO=0`")
        raise CannotStart(f"The data in {data} is that of {other}. Start it with {cure}, or give another --data.")


def settings_for(postgres: EmbeddedPostgres, options: Options) -> PlatformSettings:
    """The platform's settings for services on the embedded PostgreSQL."""
    return PlatformSettings(
        database_url=postgres.url("ROLE", DATABASE).replace("ROLE", "{role}"),
        admin_database_url=postgres.url(database=DATABASE),
        database_pool=2,
        partitions=1,
        issuer=f"{options.url}/oidc",
        issuer_name=ISSUER_NAME,
        secret=_secret(options.data),
    )


def _secret(data: Path) -> str:
    """The key of keyed hashes: generated once and stored with the data."""
    file = data / "secret"
    with suppress(FileExistsError):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(secrets.token_urlsafe(32))
    return file.read_text()


def prepare_database(postgres: EmbeddedPostgres, settings: PlatformSettings) -> None:
    """Creates or migrates database, roles, schemas and tables. Quick when they are up to date."""
    assert settings.admin_database_url
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone():
            connection.execute(f'CREATE DATABASE "{DATABASE}"')  # pyright: ignore[reportArgumentType, reportCallIssue]
    for migrations in (LOG_TABLE_MIGRATIONS, dev_idp.MIGRATIONS):
        migrate_schema(migrations, settings)
    with psycopg.connect(settings.admin_database_url.replace("+psycopg", ""), autocommit=True) as connection:
        # Older versions granted it, so that these roles could create their tables' schemas themselves.
        connection.execute(f'REVOKE CREATE ON DATABASE "{DATABASE}" FROM broker, oidc')  # pyright: ignore[reportArgumentType, reportCallIssue]
    migrate_all(SERVICES, settings)


def _identity_settings(settings: PlatformSettings) -> IdentitySettings:
    """Identity's settings: it administers accounts and applications at the embedded provider, and calls services at the same address."""
    secret = hmac.digest(settings.secret.encode(), b"identity at the embedded provider", "sha256").hex()
    return IdentitySettings(
        embedded_url=settings.issuer,
        services_url=settings.issuer.removesuffix("/oidc"),
        embedded_client_id=dev_idp.SERVICE_CLIENT,
        embedded_client_secret=SecretStr(secret),
    )


def _configure_services(settings: PlatformSettings) -> list[Service]:
    wire = partial(wire_identity, settings=_identity_settings(settings))
    return [replace(each, wire=wire) if each is identity else each for each in SERVICES]


@asynccontextmanager
async def _run_provider(settings: PlatformSettings, options: Options) -> AsyncIterator[tuple[FastAPI, AsyncEngine]]:
    engine = create_engine(settings.database_url.replace("{role}", "oidc"), schema="oidc", pool_size=1)
    try:
        await dev_idp.ensure_seed_rows(engine)
        own = _identity_settings(settings)
        secret = own.embedded_client_secret.get_secret_value()
        await dev_idp.ensure_client(engine, own.embedded_client_id, secret, [], PLATFORM_TENANT, ["client_credentials"])
        policy = UrlPolicy(allow_private=settings.allow_private_addresses)
        yield dev_idp.create_provider(engine, settings.issuer, demo=options.demo, policy=policy), engine
    finally:
        await engine.dispose()


async def _ensure_platform_admin(process: Process, engine: AsyncEngine, *, demo: bool) -> str | None:
    """Creates the platform tenant and its first admin. Returns a one-time token while that admin has no password."""
    await dev_idp.ensure_account(
        engine, PLATFORM_ADMIN, PASSWORD if demo else None, PLATFORM_TENANT, sub=PLATFORM_ADMIN, admin=True, listed=demo
    )
    identity = next(each for each in process.services if each.service.name == "identity")
    async with identity.context.sessions.begin([PLATFORM_TENANT], now=datetime.now(UTC)) as session:
        await ensure_platform(session, login=Login(iss=ISSUER_NAME, sub=PLATFORM_ADMIN))
    if demo or await dev_idp.has_password(engine, PLATFORM_ADMIN):
        return None
    return await dev_idp.issue_one_time(engine, PLATFORM_ADMIN)


async def up(options: Options) -> None:
    """Runs until SIGINT or SIGTERM. Raises CannotStart, EmbeddedPostgresError, ValueError for a host beyond loopback."""
    dev_idp.refuse_beyond_loopback(options.host)
    check_port(options.host, options.port)
    postgres = EmbeddedPostgres(options.data)
    say("  PostgreSQL")
    postgres.start()
    try:
        check_mode(options.data, demo=options.demo)
        settings = settings_for(postgres, options)
        say("  schemas")
        prepare_database(postgres, settings)
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(postgres.supervise())
            try:
                await _serve(settings, options)
            finally:
                watching.cancel()
    finally:
        postgres.stop()


async def _serve(settings: PlatformSettings, options: Options) -> None:
    async with _run_provider(settings, options) as (provider, engine):
        exit_when_hung()
        async with run_services(_configure_services(settings), settings) as process:
            app = root_app(process)
            app.mount("/oidc", provider)
            page = front_page(SERVICES, url=options.url, uplift=uplift_command(), demo=options.demo)
            app.add_api_route("/", lambda: HTMLResponse(page, headers=PAGE_HEADERS), include_in_schema=False)
            server = Server(app, process, host=options.host, port=options.port)
            logging.getLogger("uvicorn.error").addFilter(partial(_is_reportable, process.stopping))
            serving = asyncio.create_task(server.serve())
            serving.add_done_callback(lambda _: process.stopping.set())
            try:
                await _wait_until_ready(server, serving)
                await _unless_stopped(process.stopping, _after_start(process, engine, options))
                await serving
            finally:
                server.should_exit = True
                with suppress(asyncio.CancelledError):
                    await serving


def _is_reportable(stopping: asyncio.Event, record: logging.LogRecord) -> bool:
    """Whether to log a record: tracebacks of requests cancelled by a stop are dropped."""
    return not (record.exc_info and (stopping.is_set() or isinstance(record.exc_info[1], asyncio.CancelledError)))


async def _unless_stopped(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Awaits `work`; a stop cancels it, and its failure is then ignored."""
    working, stopped = asyncio.create_task(work), asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.is_set():
            working.cancel()
            await asyncio.wait({working})
        if not stopping.is_set() or not (working.cancelled() or working.exception()):
            await working
    finally:
        stopped.cancel()
        working.cancel()


async def _wait_until_ready(server: Server, serving: "asyncio.Task[None]") -> None:
    while not server.started:
        if serving.done():
            raise CannotStart("The HTTP server did not start; the lines above say why.")
        await asyncio.sleep(0.01)


async def _after_start(process: Process, engine: AsyncEngine, options: Options) -> None:
    one_time = await _ensure_platform_admin(process, engine, demo=options.demo)
    await _wait_for_platform(process)
    (options.data / "address").write_text(options.url)
    if options.demo:
        say("  demo tenant")
        await prepare_embedded(engine, options.url)
    say(_render_start_message(options, one_time))
    if options.demo and options.simulate:
        process.background = asyncio.create_task(_simulate(process, options))  # type: ignore[attr-defined]


async def _wait_for_platform(process: Process) -> None:
    """Waits until every service's copy of the directory contains the first platform admin."""
    for running in process.services:
        while True:
            async with running.context.sessions.begin([PLATFORM_TENANT], now=datetime.now(UTC)) as session:
                if await session.scalar(
                    "SELECT count(*) FROM directory_login WHERE sub = :sub", {"sub": PLATFORM_ADMIN}
                ):
                    break
            await asyncio.sleep(0.02)


async def _simulate(process: Process, options: Options) -> None:
    """Runs the simulator: a process of its own that only uses the HTTP API. SIGTERM ends it when the suite stops."""
    command = [sys.executable, "-m", "simulator", "--url", options.url, "--speed", str(options.speed)]
    child = await asyncio.create_subprocess_exec(*command)
    stopping = asyncio.create_task(process.stopping.wait())
    ended = asyncio.create_task(child.wait())
    await asyncio.wait({stopping, ended}, return_when=asyncio.FIRST_COMPLETED)
    if child.returncode is None:
        with suppress(ProcessLookupError):
            child.send_signal(signal.SIGTERM)
        await child.wait()


def uplift_command() -> str:
    """The command's path, relative to the working directory if it is below it."""
    command = Path(sys.executable).parent / "uplift"
    with suppress(ValueError):
        return str(command.relative_to(Path.cwd()))
    return str(command)


def _render_start_message(options: Options, one_time: str | None) -> str:
    """The start message with the next steps, for a terminal of 80 columns."""
    uplift = uplift_command()
    own = options.data in (folder.resolve() for folder in DATA_FOLDERS.values())
    where = "" if own else f" --url {options.url}"
    lines = [f"Uplift answers at {options.url}  (after {time.monotonic() - options.began:.1f} s)"]
    if options.demo:
        lines += ["Demo users, password `demo`:", "  " + ", ".join((*LOGINS, PLATFORM_ADMIN))]
        lines += ["Tenant `demo` is simulated: training's effect is what the simulation put in."]
    if one_time:
        lines += ["One-time token of the first platform admin, valid once:"]
        lines += _command(f"{uplift} login{where}", f"--one-time {one_time}")
    if options.demo:
        lines += ["Send your own file:", *_command(f"{uplift} ingest{where}", "--source amazon-connect FILE")]
        lines += ["A token for curl, and how it is doing:"]
        lines += [*_command(f"{uplift} token{where}", "lead"), *_command(f"{uplift} status{where}")]
    else:
        lines += ["From there to your first tenant and file: see the page at that address."]
    lines += ["Data lies in:", *(f"  {part}" for part in wrap(str(_format_path(options.data)), _WIDTH - 2))]
    lines += [f"Stop with Ctrl-C; forget all with `make reset{'' if options.demo else ' DEMO=0'}`."]
    framed = [f"│ {line.ljust(_WIDTH)} │" for line in lines]
    return "\n".join([f"┌{'─' * (_WIDTH + 2)}┐", *framed, f"└{'─' * (_WIDTH + 2)}┘"])


def _command(*parts: str) -> list[str]:
    """A command on one line where it fits, else on as many as it has parts."""
    whole = f"  {' '.join(parts)}"
    if len(whole) <= _WIDTH:
        return [whole]
    return [f"  {part} \\" if part != parts[-1] else f"    {part}" for part in parts]


def _format_path(path: Path) -> Path:
    with suppress(ValueError):
        return path.relative_to(Path.cwd())
    return path
