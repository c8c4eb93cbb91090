"""The broker kept in tables of PostgreSQL, for everywhere Kafka would be too much."""

from messaging.log_table.broker import LogTableBroker

__all__ = ["LogTableBroker"]
