"""Units of numbers: products, and their rendering."""

from kpi_engine.model.tree import Unit


def multiply_units(left: Unit, right: Unit, sign: int) -> Unit:
    """The unit of `left * right` for the sign 1, of `left / right` for -1."""
    powers = dict(left)
    for name, power in right:
        powers[name] = powers.get(name, 0) + sign * power
    return tuple(sorted((name, power) for name, power in powers.items() if power))


def render_unit(unit: Unit | None) -> str:
    """E.g. `ms`, `ms^2 · score^-1`, `plain numbers`."""
    return " · ".join(name if power == 1 else f"{name}^{power}" for name, power in unit or ()) or "plain numbers"
