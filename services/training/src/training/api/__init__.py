"""Training's HTTP door."""

from fastapi import APIRouter

from training.api import assignments, rules, templates

router = APIRouter()
for part in (templates, rules, assignments):
    router.include_router(part.router)
