"""Names of other services in a KPI model: sources, forms, their attributes and questions, org units and roles."""

from collections.abc import Iterable, Iterator

from servicekit.blueprints.checking import Reference

from kpi_engine.model.document import Model
from kpi_engine.model.functions import comparison
from kpi_engine.model.tree import Node

_KINDS = {"source": "source", "form": "form", "org_unit": "org unit", "role": "role"}
_INSIDE = {"legs": "attribute", "submissions": "question"}


def find_references(model: Model, at: str = "") -> list[Reference]:
    """The references of a model; their JSON pointers begin with `at`. Skills and queues are declared nowhere and left out."""
    trees = [
        (f"{at}/{part}", tree) for part, tree in (("where", model.plan.where), ("value", model.plan.value)) if tree
    ]
    compared = [each for pointer, tree in trees for each in _compared(tree, pointer)]
    inside = _INSIDE.get(model.source)
    attributes: list[Reference] = []
    if inside is not None:
        outer = {"attribute": "source", "question": "form"}[inside]
        within = tuple(sorted({each.name for each in compared if each.kind == outer}))
        attributes = [
            Reference(pointer, inside, str(node.value), within)
            for pointer, tree in trees
            for node in tree.walk()
            if node.op == "attribute"
        ]
    targets = model.bands.targets if model.bands else ()
    people = [each for target in targets for each in _compared(target.selector, f"{at}/targets/{target.index}/when")]
    return list(dict.fromkeys([*compared, *attributes, *people]))


def _compared(tree: Node, pointer: str) -> Iterator[Reference]:
    """The texts that columns in `_KINDS` are compared with."""
    for node in tree.walk():
        if comparison(node.op):
            columns = [arg.value for arg in node.args if arg.op == "column" and arg.value in _KINDS]
            for column in columns:
                yield from (Reference(pointer, _KINDS[column], text) for text in _texts(node.args))


def _texts(nodes: Iterable[Node]) -> Iterator[str]:
    return (str(node.value) for node in nodes if node.op == "text")
