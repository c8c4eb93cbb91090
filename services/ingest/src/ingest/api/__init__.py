"""The HTTP door of ingest."""

from fastapi import APIRouter
from servicekit import router as door_router

from ingest.api import interactions, receipts, records, sources


def router() -> APIRouter:
    whole = door_router()
    for each in (sources.router, records.router, receipts.router, interactions.router):
        whole.include_router(each)
    return whole
