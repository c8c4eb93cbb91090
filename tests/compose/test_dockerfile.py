"""The Dockerfile read and checked, and its steps done by hand, since no engine is needed for those either."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from storage.embedded import EmbeddedPostgres
from testkit import wait_for
from testkit.programs import free_port

from tests.architecture.files import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
BUILD, FINAL = re.split(r"^FROM .*\n", DOCKERFILE, flags=re.MULTILINE)[1:]


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_pinned_and_nobody_is_root() -> None:
    assert re.search(r"^ARG PYTHON=python:3\.11\.\d+-slim-bookworm$", DOCKERFILE, re.MULTILINE)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON}", "${PYTHON}"]
    assert int(_last("USER", FINAL).split(":")[0]) >= 10_000
    assert _last("STOPSIGNAL", FINAL) == "SIGTERM"
    assert json.loads(_last("ENTRYPOINT", FINAL)) == ["python", "-m"]
    assert json.loads(_last("CMD", FINAL))[0] == "servicekit"


def _last(instruction: str, text: str) -> str:
    return re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE)[-1]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the build stage leaves in TARGET for SERVICE=ingest, where any user may read it."""
    folder, place = tmp_path_factory.mktemp("build"), Path(tempfile.mkdtemp(prefix="uplift-image-"))
    place.chmod(0o755)
    target = place / "uplift"
    steps = re.findall(r"^COPY ([^\n]+)$|^RUN [^\n]*<<EOF\n(.*?)^EOF$", BUILD, re.MULTILINE | re.DOTALL)
    # Debian calls it python3, the image python.
    interpreter = tmp_path_factory.mktemp("bin") / "python"
    interpreter.symlink_to(Path(sys._base_executable).resolve())  # type: ignore[attr-defined]
    environment = {**os.environ, "TARGET": str(target), "SERVICE": "ingest"}  # noqa: TID251 - of a child
    environment["PATH"] = f"{interpreter.parent}:{environment['PATH']}"
    for copied, script in steps:
        if copied:
            *names, _ = copied.split()
            for name in names:
                _copy(ROOT / name, folder / name)
        else:
            subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, check=True, timeout=110
            )
    yield target
    shutil.rmtree(place)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("tests", "__pycache__", "node_modules", "dist"))
    else:
        shutil.copy(source, target)


def _python(root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [root / "bin" / "python", "-I", *arguments], cwd=root, capture_output=True, text=True, timeout=60
    )


@pytest.mark.slow
def test_an_image_runs_its_own_service_and_no_other(root: Path) -> None:
    helped = _python(root, "-m", "servicekit", "--help")
    assert helped.returncode == 0
    assert "migrate" in helped.stdout
    other = _python(root, "-m", "servicekit", "api", "--service", "forms")
    assert other.returncode == 1
    assert "There are: ingest." in other.stderr


@pytest.mark.slow
def test_an_image_holds_the_locked_versions_and_nothing_for_development(root: Path) -> None:
    listing = "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    found = {_normal(name): number for name, number in json.loads(_python(root, "-c", listing).stdout).items()}
    locked = dict(re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    members = {name for name in found if name.startswith("uplift-")}
    assert members == {"uplift-contracts", "uplift-messaging", "uplift-storage", "uplift-servicekit", "uplift-ingest"}
    assert {name: number for name, number in found.items() if name not in members and locked.get(name) != number} == {}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    dev = {_normal(re.split(r"[\[<>=!]", each)[0]) for each in project["dependency-groups"]["dev"]}
    assert not found.keys() & (dev | {"pip", "setuptools", "wheel", "uv", "uv-build"})


@pytest.mark.slow
def test_an_image_holds_compiled_code_and_no_links_to_the_sources(root: Path) -> None:
    package = next(root.glob("lib/python3.*/site-packages/servicekit"))
    assert not package.is_symlink()
    compiled = {path.name.split(".")[0] for path in (package / "__pycache__").glob("*.pyc")}
    assert compiled == {path.stem for path in package.glob("*.py")}


# It runs as its final stage says: the same variables, user, command and signal; nothing may be written but /tmp.

READ_ONLY = """
mount --bind "$0" "$0" && mount -o remount,bind,ro "$0"
exec setpriv --reuid "$1" --regid "$1" --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all -- "${@:2}"
"""


def _as_in_the_image(root: Path, *arguments: str) -> list[str | Path]:
    """The image's entry point as its user. Without root's rights as oneself, who owns the tree and may not write it."""
    command: list[str | Path] = [root / "bin" / "python", *json.loads(_last("ENTRYPOINT", FINAL))[1:], *arguments]
    if os.geteuid():
        return command
    user = _last("USER", FINAL).split(":")[0]
    return ["unshare", "--mount", "--propagation", "private", "bash", "-c", READ_ONLY, root, user, *command]


def _environment(root: Path, **settings: str) -> dict[str, str]:
    """That of the final stage, and settings."""
    named = dict(each.split("=", 1) for each in _last("ENV", FINAL).split())
    path = named["PATH"].replace("/opt/uplift", str(root)).replace("${PATH}", "/usr/bin:/bin:/usr/sbin:/sbin")
    return {**named, "PATH": path, **settings}


def _listing(root: Path) -> set[tuple[str, int, int]]:
    return {(str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in root.rglob("*")}


@pytest.fixture
def settings(tmp_path: Path, kafka: str) -> Iterator[dict[str, str]]:
    """For Kafka, and a PostgreSQL reached by TCP and passwords, whose administrator is no superuser."""
    port = free_port()
    with EmbeddedPostgres(tmp_path / "data", durable=False, port=port) as server:
        with psycopg.connect(server.dsn, autocommit=True) as connection:
            connection.execute("CREATE ROLE boss LOGIN CREATEROLE PASSWORD 'secret'")
            connection.execute("CREATE DATABASE uplift OWNER boss")
        url = f"postgresql+psycopg://{{}}:secret@127.0.0.1:{port}/uplift"
        yield {
            "UPLIFT_ADMIN_DATABASE_URL": url.format("boss"),
            "UPLIFT_DATABASE_URL": url.format("{role}"),
            "UPLIFT_KAFKA_BOOTSTRAP_SERVERS": kafka,
            "UPLIFT_KAFKA_REPLICATION_FACTOR": "1",
        }


@pytest.mark.slow
def test_an_image_migrates_and_serves_as_its_user_in_a_tree_nobody_writes(
    root: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & 0o555)
    before, environment = _listing(root), _environment(root, **settings)
    command = _as_in_the_image(root, "servicekit", "migrate", "topics")
    migrated = subprocess.run(command, env=environment, cwd="/tmp", capture_output=True, text=True, timeout=100)
    assert migrated.returncode == 0, migrated.stderr
    assert migrated.stdout.startswith("Up to date: the schemas of ingest.\n")
    port = free_port()
    log = tmp_path / "log"
    start = _as_in_the_image(root, *json.loads(_last("CMD", FINAL)), "--port", str(port))
    with log.open("w") as output:
        process = subprocess.Popen(start, env=environment, cwd="/tmp", stdout=output, stderr=subprocess.STDOUT)
    try:
        for path in ("/healthz", "/readyz"):
            wait_for(lambda path=path: _answers(f"http://127.0.0.1:{port}{path}"), seconds=60)
        owner = Path(f"/proc/{process.pid}").stat().st_uid
        assert owner == (os.geteuid() or int(_last("USER", FINAL).split(":")[0]))
        process.send_signal(getattr(signal, _last("STOPSIGNAL", FINAL)))
        assert process.wait(timeout=40) == 0, log.read_text()
    finally:
        process.kill()
    assert "Traceback" not in log.read_text()
    assert _listing(root) == before


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_the_tree_of_an_image_cannot_be_written(root: Path) -> None:
    attempt = _as_in_the_image(root, "this")
    place = attempt.index(root / "bin" / "python")
    attempt[place:] = [root / "bin" / "python", "-c", f"open({str(root / 'new')!r}, 'w')"]
    done = subprocess.run(attempt, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr or "Permission denied" in done.stderr


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
