"""The broker on Apache Kafka."""

from messaging.kafka.broker import KafkaBroker
from messaging.kafka.security import KafkaSecurity

__all__ = ["KafkaBroker", "KafkaSecurity"]
