"""The HTTP door of identity."""

from servicekit import router as door_router

from identity.api import audit, blueprints, feature_flags, me, org_units, people, sessions, sign_on, tenants

router = door_router()
for part in (me, people, org_units, tenants, blueprints, sign_on, sessions, audit, feature_flags):
    router.include_router(part.router)
