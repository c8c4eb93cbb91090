"""The broker on Apache Kafka."""

from messaging.kafka.broker import KafkaBroker

__all__ = ["KafkaBroker"]
