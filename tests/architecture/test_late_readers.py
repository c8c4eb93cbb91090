"""Every service that reads events has the suite of what its readers bear; the suite itself asks for every reader."""

from collections.abc import Iterable
from pathlib import Path

from contracts.topics import ALL_SERVICES, TOPICS

from tests.architecture.files import ROOT


def find_missing_suites(readers: Iterable[str], services: Path = ROOT / "services") -> list[str]:
    """The services without a test_late.py that uses the suite `LateConformance`."""
    suites = {reader: services / reader / "tests" / "test_late.py" for reader in readers}
    return sorted(
        reader for reader, path in suites.items() if not path.exists() or "(LateConformance)" not in path.read_text()
    )


def test_every_service_that_reads_events_says_what_its_readers_bear() -> None:
    readers = {reader for topic in TOPICS.values() for reader in topic.readers}
    assert readers == set(ALL_SERVICES)
    assert find_missing_suites(readers) == []


def test_a_reader_without_the_suite_is_found(tmp_path: Path) -> None:
    for reader, text in {"good": "class TestLate(LateConformance): ...", "own": "class TestLate: ..."}.items():
        (tmp_path / reader / "tests").mkdir(parents=True)
        (tmp_path / reader / "tests" / "test_late.py").write_text(text)
    assert find_missing_suites(["good", "own", "none"], tmp_path) == ["none", "own"]
