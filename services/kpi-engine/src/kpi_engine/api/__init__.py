"""The HTTP door."""

from servicekit import router as door_router

from kpi_engine.api import bands, models, values

router = door_router()
router.include_router(models.router)
router.include_router(values.router)
router.include_router(bands.router)
