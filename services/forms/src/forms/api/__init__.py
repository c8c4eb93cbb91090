"""The HTTP door."""

from servicekit import router as door_router

from forms.api import definitions, submissions

router = door_router()
router.include_router(definitions.router)
router.include_router(submissions.router)
