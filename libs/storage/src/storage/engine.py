"""One database engine per service, with its own role and its own schema first on the search path."""

import select
from typing import Any

import psycopg
from sqlalchemy import URL, MetaData, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

NAMING = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


def create_metadata() -> MetaData:
    """Metadata for the tables of one service. They name no schema: the search path does."""
    return MetaData(naming_convention=NAMING)


DATABASE_EXTRA_POOL_SIZE = 3
"""Connections beyond `pool_size` that a pool keeps open once it needed them: each new one costs PostgreSQL a process."""
DATABASE_OVERFLOW = 3
"""Connections that a pool opens beyond those when it is very busy, and closes again."""


def schema_name(service: str) -> str:
    """The schema of a service."""
    return service.replace("-", "_")


def create_engine(
    url: str | URL,
    *,
    schema: str,
    pool_size: int = 4,
    extra_pool_size: int = DATABASE_EXTRA_POOL_SIZE,
    max_overflow: int = DATABASE_OVERFLOW,
) -> AsyncEngine:
    """An async engine on psycopg 3. `url` is `postgresql+psycopg://…`."""
    engine = create_async_engine(
        url,
        pool_size=pool_size + extra_pool_size,
        max_overflow=max_overflow,
        pool_use_lifo=True,
        pool_recycle=1800,
        hide_parameters=True,  # errors are logged, and must not show customers' data
        connect_args={"options": f"-c search_path={schema} -c timezone=UTC", "prepare_threshold": 3},
    )

    @event.listens_for(engine.sync_engine, "handle_error")
    def forget_broken_connections(context: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        # After a restart of PostgreSQL every pooled connection is dead, not only the one that failed.
        if context.is_disconnect:
            context.invalidate_pool_on_disconnect = True

    @event.listens_for(engine.sync_engine, "checkout")
    def leave_broken_connections(connection: Any, *_: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        # A readable socket shows that the server may have gone, without a round trip at each checkout.
        if socket_is_readable(connection.fileno()):
            try:
                engine.dialect.do_ping(connection)
            except psycopg.Error:
                raise InvalidatePoolError from None

    return engine


def socket_is_readable(socket: int) -> bool:
    """Whether an idle connection has received something, such as its end, so that it must be pinged before use."""
    poll = select.poll()
    poll.register(socket, select.POLLIN)
    return bool(poll.poll(0))
