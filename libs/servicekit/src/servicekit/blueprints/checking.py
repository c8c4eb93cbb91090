"""What applying a section would change, and which problems prevent it. Pure functions: nothing here reads or writes."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from contracts.section_names import PARENT_KIND, Names, iterate_named_items
from pydantic import BaseModel
from storage import Session

from servicekit.errors import FieldProblem, suggest_name

MOST_PROBLEMS = 100


class Changes(BaseModel):
    """The names that applying a section would create, change and remove."""

    created: list[str] = []
    changed: list[str] = []
    removed: list[str] = []


class SectionCheck(BaseModel):
    """What applying a section would change, by part of the section (such as `rules`), and the problems that prevent it.
    Their pointers begin at the section."""

    problems: list[FieldProblem] = []
    changes: dict[str, Changes] = {}


class Reference(NamedTuple):
    """A place in a section that names an object of another service. `parents`: for a kind whose names belong to a parent,
    the parents of which at least one must have the name; empty: any parent."""

    pointer: str
    kind: str
    name: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class SectionChecker:
    """How a service checks its section without applying it, by the same rules.

    `load_current` loads the current content. `check` gets the section (None: checks the current content again), the current
    content, and the names that will exist. It runs in a worker process, so it must be a module-level function whose
    arguments and result can be pickled.
    """

    load_current: Callable[[Session], Awaitable[Any]]
    check: Callable[[dict[str, Any] | None, Any, Names], SectionCheck]


def find_duplicates(list_name: str, key: str, names: Iterable[str]) -> list[FieldProblem]:
    """A problem for each name that repeats an earlier one in the list `list_name`. `key`: the items' field with the name."""
    known: set[str] = set()
    problems: list[FieldProblem] = []
    for index, name in enumerate(names):
        if name in known:
            pointer = f"/{list_name}/{index}/{key}"
            problems.append(FieldProblem(pointer=pointer, problem=f"`{name}` is there twice", cure="rename one"))
        known.add(name)
    return problems


def find_unknown_names(references: Iterable[Reference], names: Names) -> list[FieldProblem]:
    """A problem for each reference to a name that does not exist, at most MOST_PROBLEMS. `names`: kind → names; references
    of a kind that is not in it are not checked."""
    found: list[FieldProblem] = []
    for each in references:
        if len(found) >= MOST_PROBLEMS:
            break
        if each.kind in PARENT_KIND:
            problem = _check_nested_name(each, names.get(PARENT_KIND[each.kind]))
        else:
            known = names.get(each.kind)
            problem = None if known is None or each.name in known else _problem(each, f"there is no {each.kind}", known)
        if problem is not None:
            found.append(problem)
    return found


def _check_nested_name(each: Reference, parents: Mapping[str, Sequence[str] | None] | None) -> FieldProblem | None:
    if parents is None:
        return None
    checked = [name for name in each.parents if name in parents] if each.parents else list(parents)
    known = [parents[name] for name in checked]
    if not checked or any(names is None or each.name in names for names in known):
        return None
    if len(checked) == 1:
        problem = f"{PARENT_KIND[each.kind]} `{checked[0]}` has no {each.kind}"
    else:
        problem = f"no {PARENT_KIND[each.kind]} has the {each.kind}"
    return _problem(each, problem, sorted({name for names in known for name in names or ()}))


def _problem(each: Reference, problem: str, known: Iterable[str]) -> FieldProblem:
    valid = list(known)
    cure = suggest_name(each.name, valid) if valid else f"add the {each.kind} first"
    return FieldProblem(pointer=each.pointer, problem=f"{problem} `{each.name}`", cure=cure)


def diff_sections(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Changes]:
    """Part → changes, for parts with changes. `before` and `after`: complete sections in the same form."""
    old, new = dict(iterate_named_items(before)), dict(iterate_named_items(after))
    found: dict[str, Changes] = {}
    for part in [*new, *(part for part in old if part not in new)]:
        old_items, new_items = old.get(part, {}), new.get(part, {})
        changes = Changes(
            created=sorted(new_items.keys() - old_items.keys()),
            changed=sorted(name for name in new_items.keys() & old_items.keys() if new_items[name] != old_items[name]),
            removed=sorted(old_items.keys() - new_items.keys()),
        )
        if changes != Changes():
            found[part] = changes
    return found
