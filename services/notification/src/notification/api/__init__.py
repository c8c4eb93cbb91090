"""The HTTP door."""

from servicekit import router as door_router

from notification.api import inbox, rules, stream, webhooks

router = door_router()
for each in (inbox, stream, rules, webhooks):
    router.include_router(each.router)
