"""Real programs that only these tests need."""

from testkit.fixtures.kafka import kafka, kafka_program

__all__ = ["kafka", "kafka_program"]
