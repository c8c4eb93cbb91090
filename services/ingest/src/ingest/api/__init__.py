"""The HTTP door of ingest."""

from fastapi import APIRouter
from servicekit import router as door_router

from ingest.api import interactions, receipts, records, sources


def router() -> APIRouter:
    """All routes of ingest."""
    combined = door_router()
    for each in (sources.router, records.router, receipts.router, interactions.router):
        combined.include_router(each)
    return combined
