# pyright: reportMissingTypeStubs=false
"""Compares declared topics with the topics in Kafka, and creates missing ones."""

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code
from contracts import Topic

DAY_MS = 24 * 60 * 60 * 1000
TOMBSTONE_RETENTION_MS = DAY_MS
TOPIC_CREATION_SECONDS = 15.0


def desired_config(topic: Topic, replicas: int) -> dict[str, str]:
    """A topic's configuration in Kafka. A message counts as published when all replicas but one have it, so that one replica
    may be unavailable and no message is on one replica only."""
    policy = "compact" if topic.compacted else "delete"
    if topic.compacted and topic.retention_days is not None:
        policy = "compact,delete"
    return {
        "cleanup.policy": policy,
        "retention.ms": str(-1 if topic.retention_days is None else topic.retention_days * DAY_MS),
        "min.insync.replicas": str(max(replicas - 1, 1)),
        # `Message.at` is the broker's time, not the producer's.
        "message.timestamp.type": "LogAppendTime",
        "delete.retention.ms": str(TOMBSTONE_RETENTION_MS),
    }


async def create_missing(
    admin: AIOKafkaAdminClient, topics: Sequence[Topic], partitions: dict[str, int], replicas: int
) -> None:
    """Creates the topics that do not exist, and waits until they do. Several processes may call it at the same time. Raises
    KafkaError, or TimeoutError after TOPIC_CREATION_SECONDS."""
    found = await _describe_topics(admin, topics)
    new = [
        NewTopic(topic.name, partitions[topic.name], replicas, topic_configs=desired_config(topic, replicas))
        for topic in topics
        if topic.name not in found
    ]
    if not new:
        return
    answer: Any = await admin.create_topics(new)
    for name, code, *details in answer.topic_errors:
        if code and for_code(code) is not TopicAlreadyExistsError:
            raise for_code(code)(f"Topic {name}: {' '.join(map(str, details))}")
    async with asyncio.timeout(TOPIC_CREATION_SECONDS):
        while len(await _describe_topics(admin, topics)) < len({topic.name for topic in topics}):
            await asyncio.sleep(0.05)


async def find_differences(
    admin: AIOKafkaAdminClient, topics: Sequence[Topic], partitions: dict[str, int], replicas: int
) -> list[str]:
    """One sentence for each topic that is missing or not as declared."""
    found = await _describe_topics(admin, topics)
    configs = await _configs(admin, sorted(found))
    sentences: list[str] = []
    for topic in sorted(topics, key=lambda topic: topic.name):
        if topic.name not in found:
            sentences.append(f"Topic {topic.name} is missing.")
            continue
        count, factor = found[topic.name]
        actual = {"partitions": str(count), "replication factor": str(factor)} | configs[topic.name]
        desired = {"partitions": str(partitions[topic.name]), "replication factor": str(replicas)}
        desired |= desired_config(topic, replicas)
        wrong = [
            f"{name} is {actual.get(name)}, not {value}" for name, value in desired.items() if actual.get(name) != value
        ]
        if wrong:
            sentences.append(f"Topic {topic.name}: {'; '.join(wrong)}.")
    return sentences


async def _describe_topics(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> dict[str, tuple[int, int]]:
    """Topic → number of partitions and replication factor, for topics that exist."""
    found: dict[str, tuple[int, int]] = {}
    described: list[Any] = await admin.describe_topics([topic.name for topic in topics])
    for topic in described:
        error = for_code(topic["error_code"])
        if error is UnknownTopicOrPartitionError:
            continue
        if topic["error_code"]:
            raise error(topic["topic"])
        found[topic["topic"]] = len(topic["partitions"]), min(len(each["replicas"]) for each in topic["partitions"])
    return found


async def _configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    answers: list[Any] = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    )
    configs: dict[str, dict[str, str]] = {}
    for answer in answers:
        for code, message, _, name, entries in answer.resources:
            if code:
                raise for_code(code)(f"Topic {name}: {message}")
            configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs
