"""Exact numbers, and their rendering as decimal texts."""

from decimal import Decimal
from fractions import Fraction

Exact = int | Fraction


def to_exact(value: Decimal | int) -> Exact:
    """Converts a number of PostgreSQL without loss."""
    if isinstance(value, int):
        return value
    whole = int(value)
    return whole if whole == value else Fraction(value)


def decimal_text(value: Exact, places: int = 4) -> str:
    """At most `places` decimals, rounded half to even, without trailing zeros."""
    if isinstance(value, int):
        return str(value)
    scaled = round(value * 10**places)
    sign, digits = "-" if scaled < 0 else "", str(abs(scaled)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip(".")
