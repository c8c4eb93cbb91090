"""A broker in tables of PostgreSQL, for deployments without Kafka."""

from messaging.log_table.broker import LogTableBroker

__all__ = ["LogTableBroker"]
