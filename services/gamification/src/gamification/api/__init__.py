"""Gamification's HTTP door."""

from fastapi import APIRouter

from gamification.api import boards, ledger, rules

router = APIRouter()
for part in (ledger, boards, rules):
    router.include_router(part.router)
