"""Every service that reads events has the suite of what its readers bear; the suite itself asks for every reader."""

from pathlib import Path

from contracts.topics import ALL_SERVICES, TOPICS

ROOT = Path(__file__).parents[2]


def test_every_service_that_reads_events_says_what_its_readers_bear():
    readers = {reader for topic in TOPICS.values() for reader in topic.readers}
    assert readers == set(ALL_SERVICES)
    for service in sorted(readers):
        suite = ROOT / "services" / service / "tests" / "test_late.py"
        assert suite.exists(), f"{service} has no test_late.py"
        assert "(LateConformance)" in suite.read_text(), f"{suite} does not use the suite"
