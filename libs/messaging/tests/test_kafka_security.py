"""Kafka by TLS and SASL: what the settings say is what its listeners ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from contracts import Topic, new_id
from messaging.broker import TopicPartition
from messaging.kafka import KafkaBroker, KafkaSecurity
from testkit.broker_conformance import GROUP, make_messages, read_messages
from testkit.fixtures import started_or_skipped
from testkit.programs.kafka import PASSWORD, USERNAME, Kafka


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with started_or_skipped(lambda: Kafka(tmp_path_factory.mktemp("kafka"), secured=True)) as program:
        yield program


def build_security(secured: Kafka, protocol: str, mechanism: str = "SCRAM-SHA-512", **other: str) -> KafkaSecurity:
    given = {"username": USERNAME, "password": PASSWORD, **other}
    return KafkaSecurity(protocol, mechanism, ca_file=secured.ca_file, **given)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("protocol", "mechanism"),
    [
        ("SSL", "SCRAM-SHA-512"),
        ("SASL_SSL", "PLAIN"),
        ("SASL_SSL", "SCRAM-SHA-256"),
        ("SASL_SSL", "SCRAM-SHA-512"),
        ("SASL_PLAINTEXT", "SCRAM-SHA-512"),
    ],
)
async def test_every_client_of_a_broker_enters(secured: Kafka, protocol: str, mechanism: str) -> None:
    """Topics are declared, messages published, read in a group and without one, and the group's progress is told."""
    security = build_security(secured, protocol, mechanism)
    topic = f"test.{new_id()}"
    async with KafkaBroker(secured.secured[protocol], security=security, session_seconds=3) as broker:
        await broker.declare([Topic(topic, "test", (), partitions=1)])
        await broker.publish(make_messages(topic, 3))
        assert len([message async for message in broker.read_to_end(topic)]) == 3
        async with broker.join(GROUP, [topic]) as reader:
            assert len(await read_messages(reader, 3)) == 3
            await reader.report_offset(TopicPartition(topic, 0), 3)
        assert (await broker.lag(GROUP))[TopicPartition(topic, 0)] == 0


async def test_a_wrong_password_does_not_enter(secured: Kafka) -> None:
    security = build_security(secured, "SASL_SSL", password="a-guess")
    async with KafkaBroker(secured.secured["SASL_SSL"], security=security) as broker:
        with pytest.raises(Exception, match="(?i)authentication|credentials|cannot be reached"):
            await broker.declare([Topic("test.never", "test", ())])


async def test_a_certificate_of_an_unknown_authority_is_not_believed(secured: Kafka) -> None:
    async with KafkaBroker(secured.secured["SSL"], security=KafkaSecurity("SSL")) as broker:
        with pytest.raises(ConnectionError):
            await broker.declare([Topic("test.never", "test", ())])


def test_what_is_missing_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="SASL_SSL, which needs a user name and a password"):
        KafkaBroker("127.0.0.1:1", security=KafkaSecurity("SASL_SSL", username="uplift"))
    with pytest.raises(FileNotFoundError):
        KafkaBroker("127.0.0.1:1", security=KafkaSecurity("SSL", ca_file=tmp_path / "none.pem"))


def test_a_password_is_not_shown() -> None:
    assert "hidden" not in repr(KafkaSecurity("SASL_SSL", username="uplift", password="hidden"))
