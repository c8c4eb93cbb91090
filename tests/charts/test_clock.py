# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
"""KEDA's operator and the autoscaler of Kubernetes follow the clock, CPU and Kafka's lag, as the chart tells them."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from testkit.fixtures import started_or_skipped
from testkit.programs.kafka import Kafka
from testkit.programs.keda import Keda
from testkit.programs.kubernetes_cluster import Cluster
from testkit.programs.kubernetes_metrics import PodMetrics
from testkit.waiting import wait_for

from tests.charts.cluster import Release, Watch, create_namespace
from tests.charts.objects import Object

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

API, WORK = "uplift-ingest-api", "uplift-kpi-engine-work"
SECONDS = 40
"""For what KEDA and the autoscaler do within a few seconds."""


@pytest.fixture(scope="module")
def metrics(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodMetrics]:
    with PodMetrics(tmp_path_factory.mktemp("metrics"), cluster) as started:
        yield started


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    with started_or_skipped(lambda: Kafka(tmp_path_factory.mktemp("kafka"))) as started:
        yield started


@pytest.fixture(scope="module")
def release(
    cluster: Cluster, metrics: PodMetrics, kafka: Kafka, chart: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """Without a trigger by the clock. Its topics and the Secrets that its pods name are there."""
    for name in ("keda", "clock"):
        create_namespace(cluster, name)
    with started_or_skipped(lambda: Keda(tmp_path_factory.mktemp("keda"), cluster)):
        values = {"autoscaling": "keda", "settings": {"UPLIFT_KAFKA_BOOTSTRAP_SERVERS": kafka.address}}
        created = Release(cluster, chart, "clock", tmp_path_factory.mktemp("values"), values=values)
        for name, keys in SECRETS.items():
            secret = {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name},
                "stringData": dict.fromkeys(keys, "x"),
            }
            cluster.create(secret, namespace="clock").raise_for_status()
        created.apply("install", "0.1.0", _scaling())
        asyncio.run(_create_topics(kafka, [each["topic"] for each in _lag_triggers(created)]))
        yield created
        created.uninstall()


SECRETS = {
    "uplift-services": (
        "UPLIFT_DATABASE_URL", "UPLIFT_MONGODB_URL", "UPLIFT_SECRET", "IDENTITY_KEYCLOAK_CLIENT_SECRET",
    )
}  # fmt: skip


def _scaling(*, api: Sequence[Object] = (), work: Sequence[Object] = ()) -> dict[str, Any]:
    """As `uplift scaling render` prints it."""
    return {
        "scaling": {
            "ingest": {"api": {"min": 2, "max": 12, "triggers": list(api)}},
            "kpi-engine": {"work": {"min": 1, "max": 6, "triggers": list(work)}},
        }
    }


def _trigger(start: datetime, end: datetime, replicas: int) -> Object:
    times = {"start": f"{start:%-M %-H} * * *", "end": f"{end:%-M %-H} * * *"}
    return {"name": "shift", "timezone": "UTC", **times, "replicas": replicas}


def _scaled(release: Release, name: str) -> Object:
    path = f"/apis/keda.sh/v1alpha1/namespaces/{release.namespace}/scaledobjects/{name}"
    return release.cluster.http.get(path).raise_for_status().json()


def _lag_triggers(release: Release) -> list[dict[str, str]]:
    return [each["metadata"] for each in _scaled(release, WORK)["spec"]["triggers"] if each["type"] == "kafka"]


def _shorten(release: Release) -> None:
    """The autoscalers shrink after 3 s, at once, not after five minutes in quarters: all else is as the chart has it."""
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 3, "policies": None}}
    patch = {"spec": {"advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}}}}
    for name in (API, WORK):
        path = f"/apis/keda.sh/v1alpha1/namespaces/{release.namespace}/scaledobjects/{name}"
        headers = {"content-type": "application/merge-patch+json"}
        release.cluster.http.patch(path, json=patch, headers=headers).raise_for_status()
        wait_for(lambda name=name: _window(release, name) == 3, seconds=SECONDS, every=0.5)


def _autoscaler(release: Release, name: str) -> Object | None:
    path = f"/apis/autoscaling/v2/namespaces/{release.namespace}/horizontalpodautoscalers/keda-hpa-{name}"
    found = release.cluster.http.get(path)
    return found.json() if found.is_success else None


def _window(release: Release, name: str) -> int | None:
    found = _autoscaler(release, name)
    return found["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] if found else None


def _has_replicas(release: Release, name: str, number: int) -> Callable[[], bool]:
    def holds() -> bool:
        deployment = release.deployments()[name]
        return deployment["spec"]["replicas"] == deployment["status"].get("readyReplicas") == number

    return holds


def _replicas(watch: Watch, name: str) -> list[int]:
    """What the Deployment was told, in order, without repetitions."""
    told = [each.object["spec"]["replicas"] for each in watch.events if each.name == f"Deployment {name}"]
    return [number for index, number in enumerate(told) if index == 0 or told[index - 1] != number]


def _now() -> datetime:
    return datetime.now(UTC)


def test_a_shift_opens_and_closes(release: Release) -> None:
    """KEDA makes the autoscaler that `service.scaledObject` describes; its minutes are those of the trigger."""
    opens = (_now() + timedelta(seconds=105)).replace(second=0, microsecond=0)
    closes = opens + timedelta(minutes=1)
    release.apply("upgrade", "0.1.0", _scaling(api=[_trigger(opens, closes, 6)]))
    _shorten(release)
    wait_for(_has_replicas(release, API, 2), seconds=SECONDS, every=0.5)
    made = _autoscaler(release, API)
    assert made is not None
    assert (made["spec"]["minReplicas"], made["spec"]["maxReplicas"]) == (2, 12)
    assert made["spec"]["behavior"]["scaleUp"]["tolerance"] == "0"
    assert sorted(each["type"] for each in made["spec"]["metrics"]) == ["External", "Resource"]
    assert _now() < opens, "the machine is too slow for this minute"
    wait_for(_has_replicas(release, API, 6), seconds=105 + SECONDS, every=0.2)
    assert opens <= _now() < closes
    wait_for(_has_replicas(release, API, 2), seconds=60 + SECONDS, every=0.2)
    assert _now() >= closes


def test_a_step_of_less_than_a_tenth_is_made(release: Release) -> None:
    """Without the tolerance that the chart gives an autoscaler 11 would stay."""
    for replicas in (11, 12):
        shift = _trigger(_now() - timedelta(hours=1), _now() + timedelta(hours=2), replicas)
        release.apply("upgrade", "0.1.0", _scaling(api=[shift]))
        wait_for(_has_replicas(release, API, replicas), seconds=SECONDS, every=0.2)


def test_within_a_shift_more_is_given_and_never_less(release: Release, metrics: PodMetrics, kafka: Kafka) -> None:
    shift = _trigger(_now() - timedelta(hours=1), _now() + timedelta(hours=2), 3)
    release.apply("upgrade", "0.1.0", _scaling(work=[shift]))
    _shorten(release)
    wait_for(_has_replicas(release, WORK, 3), seconds=SECONDS, every=0.2)
    with release.watch() as watch:
        metrics.utilization = 1.4
        wait_for(_has_replicas(release, WORK, 6), seconds=SECONDS, every=0.2)
        metrics.utilization = 0.1
        wait_for(_has_replicas(release, WORK, 3), seconds=SECONDS, every=0.2)
        lag = _lag_triggers(release)[0]
        asyncio.run(_produce(kafka, lag["topic"], 5 * int(lag["lagThreshold"])))
        wait_for(_has_replicas(release, WORK, 5), seconds=SECONDS, every=0.2)
        asyncio.run(_commit_all(kafka, lag["consumerGroup"], lag["topic"]))
        wait_for(_has_replicas(release, WORK, 3), seconds=SECONDS, every=0.2)
    assert min(_replicas(watch, WORK)) == 3


def test_while_kafka_is_away_nothing_is_taken(release: Release, kafka: Kafka) -> None:
    """KEDA then answers for no trigger of the ScaledObject, not for the clock either, and its fallback never begins: it cannot even
    make the scaler. It is the autoscaler that does not shrink by what it knows in part."""
    shift = _trigger(_now() - timedelta(hours=1), _now() + timedelta(hours=2), 3)
    release.apply("upgrade", "0.1.0", _scaling(work=[shift]))
    _shorten(release)
    lag = _lag_triggers(release)[1]
    asyncio.run(_produce(kafka, lag["topic"], 4 * int(lag["lagThreshold"])))
    wait_for(_has_replicas(release, WORK, 4), seconds=SECONDS, every=0.2)
    with release.watch() as watch:
        kafka.kill()
        wait_for(lambda: not _is_active(release), seconds=SECONDS, every=0.2)
        asyncio.run(asyncio.sleep(9))  # sleep: three times as long as this autoscaler waits before it shrinks
        assert not _is_active(release)
        kafka.start()
        wait_for(lambda: _is_active(release), seconds=2 * SECONDS, every=0.5)
    assert set(_replicas(watch, WORK)) <= {4}
    asyncio.run(_commit_all(kafka, lag["consumerGroup"], lag["topic"]))
    wait_for(_has_replicas(release, WORK, 3), seconds=SECONDS, every=0.2)


def _is_active(release: Release) -> bool:
    """Whether the autoscaler has what it needs to decide."""
    scaler = _autoscaler(release, WORK)
    assert scaler is not None
    conditions = {each["type"]: each["status"] for each in scaler["status"]["conditions"]}
    return conditions["ScalingActive"] == "True"


async def _create_topics(kafka: Kafka, topics: Sequence[str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 6, 1) for name in topics])
    finally:
        await admin.close()


async def _produce(kafka: Kafka, topic: str, messages: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.address) as producer:
        for number in range(messages):
            await producer.send(topic, b"x", partition=number % 6)


async def _commit_all(kafka: Kafka, group: str, topic: str) -> None:
    """The group has read everything."""
    async with AIOKafkaConsumer(bootstrap_servers=kafka.address, group_id=group, enable_auto_commit=False) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(6)]
        consumer.assign(partitions)
        await consumer.commit(await consumer.end_offsets(partitions))
