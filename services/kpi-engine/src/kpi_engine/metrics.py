"""kpi-engine's own metrics: changes of bands."""

from typing import Final

from contracts.scores import BandCorrected, BandEntered, BandLeft
from prometheus_client import Counter
from servicekit.metrics import count_by_type

BANDS: Final = Counter("uplift_bands", "Bands entered, left and corrected", ["change"])
METRICS: Final = (BANDS,)

count_published = count_by_type(
    {
        BandEntered: BANDS.labels("entered"),
        BandLeft: BANDS.labels("left"),
        BandCorrected: BANDS.labels("corrected"),
    }
)
