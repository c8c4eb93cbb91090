"""The peer of `make load-stack`: what one writes in an afternoon. A pydantic model per record, an INSERT per record, a
message per record with acks=all, each awaited; the same PostgreSQL and the same Kafka. `uvicorn tests.load.peer:app`"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from fastapi import FastAPI, Request
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool
from pydantic import BaseModel
from pydantic_settings import BaseSettings, SettingsConfigDict

TOPIC = "peer"


class PeerSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="PEER_")

    dsn: str
    kafka: str


class Agent(BaseModel):
    Username: str
    AgentInteractionDuration: int
    CustomerHoldDuration: int
    AfterContactWorkDuration: int


class Queue(BaseModel):
    Name: str
    Duration: int


class Contact(BaseModel):
    ContactId: str
    Channel: str
    InitiationTimestamp: str
    DisconnectTimestamp: str
    LastUpdateTimestamp: str
    Agent: Agent
    Queue: Queue


class Analysis(BaseModel):
    Channel: str
    CustomerMetadata: dict[str, str]
    ConversationCharacteristics: dict[str, Any]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = PeerSettings.model_validate({})  # fields come from the environment
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, acks="all", enable_idempotence=True)
    async with AsyncConnectionPool(settings.dsn, min_size=8, max_size=8, open=False) as pool:
        async with pool.connection() as connection:
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS peer (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
                "contact text NOT NULL, kind text NOT NULL, record jsonb NOT NULL, UNIQUE (contact, kind))"
            )
        await producer.start()
        app.state.pool, app.state.producer = pool, producer
        try:
            yield
        finally:
            await producer.stop()


app = FastAPI(lifespan=lifespan)


@app.post("/records")
async def post_records(request: Request) -> dict[str, int]:
    pool, producer = request.app.state.pool, request.app.state.producer
    taken = 0
    for line in (await request.body()).splitlines():
        raw = json.loads(line)
        record = Contact.model_validate(raw) if "ContactId" in raw else Analysis.model_validate(raw)
        if isinstance(record, Contact):
            contact, kind = record.ContactId, "contact"
        else:
            contact, kind = record.CustomerMetadata["ContactId"], "analysis"
        async with pool.connection() as connection:
            await connection.execute(
                "INSERT INTO peer (contact, kind, record) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                [contact, kind, Jsonb(raw)],
            )
        await producer.send_and_wait(TOPIC, line, key=contact.encode())
        taken += 1
    return {"taken": taken}
