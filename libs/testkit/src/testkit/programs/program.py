"""Getting a program once, and running it as a child that never outlives us."""

import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from pydantic_settings import BaseSettings, SettingsConfigDict


class ProgramMissing(Exception):
    """One sentence: what this machine lacks for the program, and how to get it."""


class ProgramSettings(BaseSettings):
    """`UPLIFT_TEST_*`: running programs to use instead of starting one, and where downloads are kept."""

    model_config = SettingsConfigDict(env_prefix="UPLIFT_TEST_", extra="ignore")

    kafka: str | None = None
    """Bootstrap servers, `host:port`."""
    mongodb: str | None = None
    """A `mongodb://` URL."""
    keycloak: str | None = None
    """Base URL of a Keycloak whose admin is `admin`/`admin`."""
    prometheus: str | None = None
    """Base URL."""
    cache: Path = Path("~/.cache/uplift/programs")


def on_ci() -> bool:
    """Whether the environment says `CI=true`: then nothing may be missing."""
    return _Environment().ci


class _Environment(BaseSettings):
    ci: bool = False


_FREE_PORTS = range(15_000, 32_000)
"""Below those that Linux gives to outgoing connections: none takes a port between the choice and its use."""
_claims: list[IO[str]] = []


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens, and which no call gives again, in this process or another, while this process
    lives. Raises RuntimeError where there is none."""
    folder = Path(tempfile.gettempdir()) / f"uplift-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for port in random.sample(_FREE_PORTS, len(_FREE_PORTS)):
        claim = (folder / str(port)).open("w")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
    raise RuntimeError(f"No port from {_FREE_PORTS.start} to {_FREE_PORTS.stop - 1} is free.")


def find_tool(name: str, cure: str, *also: str) -> str:
    """The path of a command, looked for on PATH and in `also`. Raises Missing."""
    places = [found for found in (shutil.which(name), *(shutil.which(name, path=each) for each in also)) if found]
    if not places:
        raise ProgramMissing(f"{name} is missing: {cure}.")
    return places[0]


def run_tool(command: Sequence[str | Path], *, cwd: Path, seconds: float = 900, env: Mapping[str, str] = {}) -> None:
    """Runs a build step. Raises Missing with the end of its output when it fails."""
    whole = {**os.environ, **env}  # noqa: TID251 - the environment of a child, not a setting of ours
    try:
        done = subprocess.run(
            command, cwd=cwd, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramMissing(f"`{command[0]}` did not end within {seconds:.0f} s.") from error
    if done.returncode:
        raise ProgramMissing(f"`{' '.join(map(str, command))}` failed:\n{done.stdout[-2000:]}")


def build_cached(name: str, version: str, build: Callable[[Path], None]) -> Path:
    """The folder `name-version` of the cache, built once by `build(folder)`, whoever asks first; others wait for it.

    What was built is listed with sizes and checksums; a folder that no longer matches its list is built again.
    """
    cache = ProgramSettings().cache.expanduser()
    cache.mkdir(parents=True, exist_ok=True)
    folder, listing = cache / f"{name}-{version}", cache / f"{name}-{version}.json"
    with (cache / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if listing.exists() and folder.exists() and json.loads(listing.read_text()) == _sums(folder):
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=f"{name}-") as scratch:
            fresh = Path(scratch) / "built"
            fresh.mkdir()
            build(fresh)
            fresh.rename(folder)
        listing.write_text(json.dumps(_sums(folder)))
    return folder


def build_go_project(name: str, project: Path, cure: str, *, package: str = ".", link: str = "") -> Path:
    """A program, built once in the Go module in `project`: from the module itself, or from a `package` that it requires.
    `link` is added to the linker's flags. Raises ProgramMissing."""
    go = find_tool("go", cure, "/usr/local/go/bin")

    def build(folder: Path) -> None:
        local = {"GOTOOLCHAIN": "local", "GOTELEMETRY": "off", "GOFLAGS": "-mod=readonly -buildvcs=false"}
        flags = ["-trimpath", f"-ldflags=-s -w {link}".rstrip()]
        run_tool([go, "build", *flags, "-o", folder / name, package], cwd=project, env=local)

    sources = b"".join(path.read_bytes() for path in sorted(project.iterdir())) + link.encode()
    return build_cached(name, hashlib.sha256(sources).hexdigest()[:12], build) / name


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


class Program:
    """A child process with a log. It dies with us, however we die; `kill` and `start` again is a crash and a restart, on
    the same port and data. As a context it is started, and killed at the end."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        ready: Callable[[], bool],
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        seconds: float = 60,
    ) -> None:
        """`ready` is asked again and again, for `seconds` at most; ConnectionError and OSError mean not yet. `env` is
        added to PATH, HOME and LANG; nothing else of the environment is handed on."""
        self.name = name
        self.log = log
        self._command = [str(each) for each in command]
        self._ready = ready
        self._cwd = cwd
        self._env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}  # noqa: TID251
        self._env |= env or {}
        self._seconds = seconds
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """Starts it without waiting for it to be ready. Only from a thread that lives as long as it is to live: the end of
        the thread that started it ends it."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        guard = shutil.which("setpriv")
        command = [guard, "--pdeathsig", "KILL", "--", *self._command] if guard else self._command
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self._cwd, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def start(self) -> None:
        self.launch()
        self.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def wait(self) -> None:
        """Returns when it is ready. Raises RuntimeError with the end of its log when it ends or takes too long."""
        assert self.process is not None
        deadline = time.monotonic() + self._seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            try:
                if self._ready():
                    return
            except (OSError, ConnectionError):
                pass
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"{self.name} was not ready within {self._seconds:.0f} s:\n{self.tail()}")

    def tail(self, characters: int = 3000) -> str:
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        """To the whole process group: what the program itself has started goes with it."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)

    def stop(self, seconds: float = 20) -> int | None:
        """SIGTERM, and SIGKILL after `seconds`. Returns the exit status."""
        if self.process is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    with socket.create_connection((host, port), timeout=1):
        return True


def is_answering(url: str) -> bool:
    """Whether a GET succeeds. Raises OSError while nobody listens or the answer is an error."""
    with urllib.request.urlopen(url, timeout=5):
        return True
