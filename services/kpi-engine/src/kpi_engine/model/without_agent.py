"""Whether facts without an agent contribute to a KPI, and whether only they do.

Derived from the expression alone, by evaluating it over the sets of values that each column may have. A leg that nobody took has no
talk, hold, or conversation and was not answered; a leg that somebody took was not abandoned.
"""

from collections.abc import Mapping

from kpi_engine.model.functions import Possible, aggregate, possible_values
from kpi_engine.model.functions.possible import ANY, CONDITION, NUMBER, UNKNOWN, ZERO
from kpi_engine.model.plan import Component, Plan, components_of
from kpi_engine.model.tree import Node

_AGENTLESS_VALUES: Mapping[str, Possible] = {
    **dict.fromkeys(
        ("ring_ms", "talk_ms", "hold_ms", "acw_ms", "handle_ms", "conversation_ms", "silence_vendor_ms", "overtalk_ms",
         "interruptions", "csat", "nps", "qa_score", "sentiment"), UNKNOWN),
    "answered": frozenset({None, False}),
    "silence": UNKNOWN,
}  # fmt: skip
_AGENT_VALUES: Mapping[str, Possible] = {"abandoned": frozenset({None, False})}

NO_VALUE_REASON = "it measures what happens to calls that no agent has taken: it has no value for an agent or a team"


def counts_without_agent(plan: Plan) -> bool:
    """Whether a leg without an agent may contribute to the value."""
    return True in _possible_where_results(plan, _AGENTLESS_VALUES) and any(
        _can_contribute(each, _AGENTLESS_VALUES) for each in plan.components
    )


def only_without_agent(plan: Plan) -> bool:
    """Whether the value is a ratio to whose numerator only legs without an agent contribute: for agents it would always be 0,
    which would be misleading."""
    above, below = plan.fraction
    if below is None or True not in _possible_where_results(plan, _AGENTLESS_VALUES):
        return False
    return _possible_totals(above, _AGENTLESS_VALUES) - {None, ZERO} != frozenset() and not _possible_totals(
        above, _AGENT_VALUES
    ) - {None, ZERO}


def _possible_where_results(plan: Plan, known: Mapping[str, Possible]) -> Possible:
    return frozenset({True}) if plan.where is None else _possible_fact_values(plan.where, known)


def _can_contribute(component: Component, known: Mapping[str, Possible]) -> bool:
    return component.arg is None or bool(_possible_fact_values(component.arg, known) - component.partial.nothing)


def _possible_totals(node: Node, known: Mapping[str, Possible]) -> Possible:
    """The possible values of an expression over aggregates, when columns have the `known` values."""

    def leaf(node: Node) -> Possible | None:
        if aggregate(node.op) is None:
            return None
        return NUMBER if _can_contribute(components_of(node)[0], known) else frozenset({None, ZERO})

    return possible_values(node, leaf)


def _possible_fact_values(node: Node, known: Mapping[str, Possible]) -> Possible:
    """The possible values of an expression over one leg, when columns have the `known` values."""

    def leaf(node: Node) -> Possible | None:
        if node.op not in ("column", "attribute", "silence"):
            return None
        usual = {"flag": CONDITION, "number": NUMBER}.get(node.type.kind, frozenset({None, ANY}))
        return known.get("silence" if node.op == "silence" else node.value, usual)

    return possible_values(node, leaf)
