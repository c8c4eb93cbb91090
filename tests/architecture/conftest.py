"""What several of these tests look at."""

import asyncio
from collections.abc import Sequence

import httpx
import pytest
from fastapi import FastAPI
from servicekit import PlatformSettings, Service
from servicekit.tokens import TokenVerifier
from servicekit.wiring import service_app, wire


@pytest.fixture(scope="session")
def apps(services: Sequence[Service]) -> dict[str, FastAPI]:
    """The services' HTTP doors, without a database behind them."""

    async def build() -> dict[str, FastAPI]:
        settings = PlatformSettings()
        async with httpx.AsyncClient() as http:
            verifier = TokenVerifier(http, issuer=settings.issuer, audience=settings.audience)
            parts = {"http": http, "verifier": verifier, "stopping": asyncio.Event()}
            return {each.name: service_app(wire(each, settings, **parts)) for each in services}  # pyright: ignore[reportArgumentType]

    return asyncio.run(build())
