"""Why a record or a configuration is refused, with a cure."""

from dataclasses import dataclass


@dataclass(eq=False)
class Refusal(Exception):
    """Why something is refused. `field`: the vendor's name of the field (empty: the whole record); `cure`: what to do."""

    field: str
    reason: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason
