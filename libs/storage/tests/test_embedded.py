"""A real server each time, and real signals."""

import asyncio
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from storage import embedded
from storage.embedded import EmbeddedPostgres, EmbeddedPostgresError, diagnose_startup_failure
from testkit import wait_for, wait_until_true


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("embedded") / "postgres", durable=False)
    yield server
    server.stop()


@pytest.fixture
def postgres(shared: EmbeddedPostgres) -> EmbeddedPostgres:
    """A running server that holds one row; a test may do to it what it likes, except to its files."""
    shared.start()
    with psycopg.connect(shared.dsn) as connection:
        connection.execute("DROP TABLE IF EXISTS note")
        connection.execute("CREATE TABLE note AS SELECT 'kept' AS text")
    return shared


def note(server: EmbeddedPostgres) -> str | None:
    with psycopg.connect(server.dsn, connect_timeout=5) as connection:
        row = connection.execute("SELECT text FROM note").fetchone()
    return row[0] if row else None


def alive(pid: int) -> bool:
    # A killed process stays listed until its parent, or in a container nobody, asks for its result.
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_data_survives_a_restart(postgres: EmbeddedPostgres) -> None:
    first = postgres.pid
    postgres.stop()
    assert first
    assert not alive(first)
    assert postgres.pid is None
    postgres.start()
    assert postgres.pid != first
    assert note(postgres) == "kept"


def test_text_is_utf8_and_knows_letters_beyond_ascii(postgres: EmbeddedPostgres) -> None:
    with psycopg.connect(postgres.dsn) as connection:
        row = connection.execute("SELECT current_setting('server_encoding'), upper('größe'), 'é' ~ '^[[:alpha:]]$'")
        assert row.fetchone() == ("UTF8", "GRÖßE", True)


def test_by_default_what_is_committed_is_on_disk(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path) as server, psycopg.connect(server.dsn) as connection:
        row = connection.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'), current_setting('data_checksums')"
        )
        assert row.fetchone() == ("on", "on", "on")


def test_the_log_of_writes_does_not_fill_the_disk(postgres: EmbeddedPostgres) -> None:
    """600 MB are written, and a fraction of it stays once the checkpointer has been."""
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        for _ in range(60):
            connection.execute("SELECT pg_logical_emit_message(false, 'test', repeat('x', 10000000))")
        connection.execute("CHECKPOINT")
    segments = postgres.cluster / "pg_wal"
    wait_for(lambda: sum(file.stat().st_size for file in segments.glob("0*")) <= 224 << 20)


def test_roles_connect_by_the_url(postgres: EmbeddedPostgres) -> None:
    sqlalchemy = pytest.importorskip("sqlalchemy")
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute('CREATE ROLE "a role" LOGIN')
        connection.execute("CREATE DATABASE base")
    engine = sqlalchemy.create_engine(postgres.url("a role", "base"))
    with engine.connect() as connection:
        row = connection.execute(sqlalchemy.text("SELECT current_user, current_database()")).one()
    engine.dispose()
    assert tuple(row) == ("a role", "base")


def test_nobody_else_may_enter(postgres: EmbeddedPostgres) -> None:
    assert postgres.socket_folder.stat().st_mode & 0o077 == 0
    with psycopg.connect(postgres.dsn) as connection:
        row = connection.execute("SELECT current_setting('listen_addresses')").fetchone()
    assert row == ("",)


BUSY = """
import psycopg, sys
psycopg.connect(sys.argv[1]).execute("SELECT count(*) FROM generate_series(1, 1000000000)")
"""


async def test_a_killed_server_is_started_again(postgres: EmbeddedPostgres) -> None:
    for _ in range(2):
        watching = asyncio.create_task(postgres.supervise())
        first = postgres.pid
        assert first
        # A statement in progress keeps its process alive for a while after its parent.
        busy = subprocess.Popen([sys.executable, "-c", BUSY, postgres.dsn], stderr=subprocess.DEVNULL)
        await wait_until_true(lambda: is_counting(postgres), seconds=20)
        os.kill(first, signal.SIGKILL)
        await wait_until_true(lambda first=first: postgres.pid not in (None, first) and answers(postgres), seconds=20)
        assert note(postgres) == "kept"
        busy.wait(20)
        watching.cancel()


def is_counting(server: EmbeddedPostgres) -> bool:
    with psycopg.connect(server.dsn) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT count(*) FROM generate_series%'"
        )
        return found.fetchone() is not None


def read_notes(postgres: EmbeddedPostgres) -> list[Any]:
    """The rows of `note`; empty while the server does not answer."""
    try:
        with psycopg.connect(postgres.dsn) as connection:
            return connection.execute("SELECT text FROM note ORDER BY text").fetchall()
    except psycopg.OperationalError:
        return []


def answers(server: EmbeddedPostgres) -> bool:
    try:
        psycopg.connect(server.dsn, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


async def test_watching_ends_with_the_server(postgres: EmbeddedPostgres) -> None:
    watching = asyncio.create_task(postgres.supervise())
    await asyncio.sleep(0.05)  # sleep: the watch has begun
    postgres.stop()
    await asyncio.wait_for(watching, 5)
    assert postgres.pid is None


def test_a_killed_backend_costs_no_data(postgres: EmbeddedPostgres) -> None:
    first = postgres.pid
    connection = psycopg.connect(postgres.dsn, autocommit=True)
    connection.execute("INSERT INTO note VALUES ('committed')")
    os.kill(connection.info.backend_pid, signal.SIGKILL)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT pg_sleep(5)")
    connection.close()
    # The client may learn of the killed backend before the postmaster does, which then ends every other connection.
    assert wait_for(lambda: read_notes(postgres)) == [("committed",), ("kept",)]
    assert postgres.pid == first


PARENT = """
    import sys, time
    from pathlib import Path
    import psycopg
    from storage.embedded import EmbeddedPostgres

    class Parent(EmbeddedPostgres):
        def _as_user(self, binaries):
            words = super()._as_user(binaries)
            return words if sys.argv[2] == "dies" else ["clear" if word == "INT" else word for word in words]

    server = Parent(Path(sys.argv[1]))
    server.start()
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE note AS SELECT 'kept' AS text")
    print(server.pid, flush=True)
    time.sleep(60)  # sleep: a parent that is killed
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
@pytest.mark.parametrize("server_with_it", ["dies", "stays"])
def test_after_its_parent_was_killed(tmp_path: Path, server_with_it: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(tmp_path), server_with_it],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout
    pid = int(parent.stdout.readline())
    with pytest.raises(EmbeddedPostgresError, match="in use by another process"):
        EmbeddedPostgres(tmp_path).start()
    with pytest.raises(EmbeddedPostgresError, match="in use by another process"):
        EmbeddedPostgres(tmp_path).delete_data()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    if server_with_it == "dies":
        wait_for(lambda: not alive(pid))
    else:
        time.sleep(0.3)  # sleep: a server that dies would be gone by then
        assert alive(pid)
    with EmbeddedPostgres(tmp_path) as server:
        assert not alive(pid)
        assert note(server) == "kept"


def test_a_stale_pid_file_that_names_a_stranger(postgres: EmbeddedPostgres) -> None:
    assert postgres.pid
    os.kill(postgres.pid, signal.SIGKILL)
    postgres.stop()
    pid_file = postgres.cluster / "postmaster.pid"
    rest = pid_file.read_text().splitlines()[1:]
    stranger = subprocess.Popen(["sleep", "60"])
    pid_file.write_text("\n".join([str(stranger.pid), *rest]) + "\n")
    postgres.start()
    assert note(postgres) == "kept"
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_a_first_start_that_was_interrupted(tmp_path: Path) -> None:
    draft = tmp_path / "cluster.new"
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path, durable=False) as server:
        assert answers(server)
    assert not draft.exists()


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / ("long" * 30), durable=False) as server:
        assert answers(server)
        folder = server.socket_folder
        assert folder != server.cluster
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()


def test_a_folder_with_quotes_and_spaces(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / """it's "a" \\ b""", durable=False) as server:
        assert answers(server)


def test_erased(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path, durable=False)
    server.start()
    server.delete_data()
    assert server.pid is None
    assert list(tmp_path.iterdir()) == []
    with server:
        assert answers(server)


def test_by_network_only_with_a_password(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with EmbeddedPostgres(tmp_path, durable=False, port=port) as server:
        with psycopg.connect(server.dsn) as connection:
            connection.execute("CREATE ROLE guest LOGIN PASSWORD 'word'")
        by_network = f"host=127.0.0.1 port={port} dbname=postgres"
        psycopg.connect(f"{by_network} user=guest password=word").close()
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"{by_network} user=postgres")


def test_another_program_on_the_port(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(EmbeddedPostgresError, match=f"Another program listens on port {port}. Stop it or"):
            EmbeddedPostgres(tmp_path, durable=False, port=port).start()


def test_data_of_another_version(tmp_path: Path) -> None:
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "PG_VERSION").write_text("16\n")
    with pytest.raises(EmbeddedPostgresError, match=r"is of PostgreSQL 16, this is 18. Move it away"):
        EmbeddedPostgres(tmp_path).start()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"cannot be written. Give it to"):
        EmbeddedPostgres(tmp_path / "file" / "data").start()


def test_missing_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EmbeddedPostgresError, match=r"missing. Run `make setup`"):
        EmbeddedPostgres(tmp_path).start()


def test_a_broken_file_is_named(postgres: EmbeddedPostgres) -> None:
    postgres.stop()
    hba = postgres.cluster / "pg_hba.conf"
    good = hba.read_text()
    hba.write_text("nonsense\n")
    with pytest.raises(EmbeddedPostgresError, match=r"did not start: could not load .*pg_hba.conf. Read the end of"):
        postgres.start()
    hba.write_text(good)
    assert postgres.pid is None


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ('PANIC:  could not write to file "pg_wal/xlogtemp.7": No space left on device', "is full. Free at least"),
        ('initdb: error: could not create directory "/x": Permission denied', "cannot be written. Give it to"),
        ("FATAL:  could not create any TCP/IP sockets\nbind: Address already in use", "Another program listens"),
        ("FATAL:  out of luck\n", "did not start: out of luck. Read the end of /log."),
        ("", "it gave no reason. Read the end of /log."),
    ],
)
def test_what_the_server_said_becomes_a_sentence_and_a_cure(said: str, sentence: str) -> None:
    assert sentence in str(diagnose_startup_failure(said, Path("/data"), Path("/log")))


def test_a_full_disk_is_told_although_the_log_has_no_room_for_it_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "_free_bytes", lambda data: 4096)
    said = diagnose_startup_failure(
        "PANIC:  cannot abort transaction 1, it was already committed", tmp_path, tmp_path / "log"
    )
    assert str(said) == f"The disk below {tmp_path} is full. Free at least 500 MB and start again."


def test_a_folder_that_cannot_be_made_is_told_by_its_name() -> None:
    with pytest.raises(EmbeddedPostgresError, match=r"^/proc/none cannot be used: No such file or directory\. Choose"):
        EmbeddedPostgres(Path("/proc/none")).start()
