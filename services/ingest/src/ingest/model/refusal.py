"""Why something was not taken, in words that help to mend it."""

from dataclasses import dataclass


@dataclass(eq=False)
class Refusal(Exception):
    """`field` is the vendor's own name of what is wrong (empty: the record as a whole); `cure` says what would help."""

    field: str
    reason: str
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}" if self.field else self.reason
