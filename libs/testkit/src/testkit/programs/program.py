"""Builds a program once, and runs it as a child that never outlives its parent."""

import fcntl
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from pydantic_settings import BaseSettings, SettingsConfigDict


class ProgramMissing(Exception):
    """The program is not there. The message says in one sentence what this machine lacks and how to get it."""


class ProgramSettings(BaseSettings):
    """`UPLIFT_TEST_*`: running programs to use instead of starting them, and the folder for built programs."""

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
    """Folder of the built programs."""


def on_ci() -> bool:
    """Whether the environment has `CI=true`. A missing program is an error then."""
    return _Environment().ci


class _Environment(BaseSettings):
    ci: bool = False


_FREE_PORTS = range(15_000, 32_000)
"""Below the ports of outgoing connections on Linux, so that none of these takes a port before it is used."""


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens. While this process lives, no other call returns the same port, in this
    process or another. Raises RuntimeError when no port is free."""
    folder = Path(tempfile.gettempdir()) / f"uplift-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for port in random.sample(_FREE_PORTS, len(_FREE_PORTS)):
        # Never closed: the lock is the claim.
        claim = os.open(folder / str(port), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(claim)
            continue
        return port
    raise RuntimeError(f"No port from {_FREE_PORTS.start} to {_FREE_PORTS.stop - 1} is free.")


def find_tool(name: str, cure: str, *also: str) -> str:
    """The path of a command, on PATH or in one of the folders `also`. Raises ProgramMissing, whose message ends with `cure`."""
    paths = [path for path in (shutil.which(name), *(shutil.which(name, path=each) for each in also)) if path]
    if not paths:
        raise ProgramMissing(f"{name} is missing: {cure}.")
    return paths[0]


def run_tool(command: Sequence[str | Path], *, cwd: Path, seconds: float = 900, env: Mapping[str, str] = {}) -> None:
    """Runs a build step. Raises ProgramMissing with the end of its output when it fails or takes longer than `seconds`."""
    whole = {**os.environ, **env}  # noqa: TID251  the environment of a child, not a setting
    try:
        done = subprocess.run(
            command, cwd=cwd, env=whole, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramMissing(f"`{command[0]}` did not end within {seconds:.0f} s.") from error
    if done.returncode:
        raise ProgramMissing(f"`{' '.join(map(str, command))}` failed:\n{done.stdout[-2000:]}")


def build_cached(name: str, version: str, build: Callable[[Path], None]) -> Path:
    """The folder `name-version` of the cache. The first caller builds it by `build(folder)`; others wait for that.

    A list beside the folder holds the checksums of its files. A folder that does not match its list is built again.
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
            built = Path(scratch) / "built"
            built.mkdir()
            build(built)
            built.rename(folder)
        listing.write_text(json.dumps(_sums(folder)))
    return folder


def build_go_project(name: str, project: Path, cure: str, *, package: str = ".", link: str = "") -> Path:
    """The path of a program, built once from the Go module in the folder `project`: the module itself, or a `package` that it
    requires. `link` is added to the linker's flags. Raises ProgramMissing."""
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
    """A child process with a log. The kernel kills it when this process ends. `kill` and then `start` is a crash and a
    restart on the same port and data. `with` starts it, and kills it at the end."""

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
        """`ready` is called until it returns true, for at most `seconds`; OSError means not yet. The child's environment is
        PATH, HOME, LANG and `env`."""
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
        """Whether the process runs."""
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """Starts it, without waiting until it is ready. Call it from a thread that lives as long as the program: the kernel
        kills the program when that thread ends."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        guard = shutil.which("setpriv")
        command = [guard, "--pdeathsig", "KILL", "--", *self._command] if guard else self._command
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self._cwd, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def start(self) -> None:
        """Starts it, and returns when it is ready. Raises RuntimeError as `wait` does."""
        self.launch()
        self.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def wait(self) -> None:
        """Returns when it is ready. Raises RuntimeError with the end of its log when it ends before that or takes too long."""
        assert self.process is not None
        deadline = time.monotonic() + self._seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
            try:
                if self._ready():
                    return
            except OSError:
                pass
            time.sleep(0.05)
        self.kill()
        raise RuntimeError(f"{self.name} was not ready within {self._seconds:.0f} s:\n{self.tail()}")

    def tail(self, characters: int = 3000) -> str:
        """The end of its log; empty when there is none."""
        return self.log.read_text(errors="replace")[-characters:] if self.log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to its process group, which includes its children. Does nothing when it does not run."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, number)

    def kill(self) -> None:
        """Sends SIGKILL, and returns when the process is gone."""
        self.signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(30)

    def stop(self, seconds: float = 20) -> int | None:
        """Sends SIGTERM, and SIGKILL after `seconds`. Returns the exit status; None when it was never started."""
        if self.process is None:
            return None
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            return self.process.returncode


def is_listening(port: int, host: str = "127.0.0.1") -> bool:
    """True when somebody listens on the port. Raises OSError otherwise, which `Program` takes for not yet."""
    with socket.create_connection((host, port), timeout=1):
        return True


_ANY_CERTIFICATE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_ANY_CERTIFICATE.check_hostname = False
_ANY_CERTIFICATE.verify_mode = ssl.CERT_NONE


def is_answering(url: str) -> bool:
    """True when a GET succeeds. Raises OSError otherwise, which `Program` takes for not yet. By https any certificate will do:
    programs make one for themselves."""
    with urllib.request.urlopen(url, timeout=5, context=_ANY_CERTIFICATE):
        return True
