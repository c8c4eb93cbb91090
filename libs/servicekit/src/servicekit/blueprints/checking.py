"""What applying a section would change, and what stands in its way. Rules only: nothing here reads or writes."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from contracts.section_names import PARENT_KIND, Names, iterate_named_items
from pydantic import BaseModel
from storage import Session

from servicekit.errors import FieldProblem, suggest_name

MOST_PROBLEMS = 100


class Changes(BaseModel):
    """By name."""

    created: list[str] = []
    changed: list[str] = []
    removed: list[str] = []


class SectionCheck(BaseModel):
    """`changes` by part of the section (`rules`, `templates`); pointers of `problems` begin at the section."""

    problems: list[FieldProblem] = []
    changes: dict[str, Changes] = {}


class Reference(NamedTuple):
    """A place that names a thing of another service. `inside_of`: where a name only means something inside of others, the
    names of these, of which one must have it; none: any of all there are."""

    pointer: str
    kind: str
    name: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class SectionChecker:
    """How a service looks at its section without applying it: by the same code, without any effect.

    `present` reads what there is. `check` is given the section (None: what is in force is looked at again), that, and
    the names that there will be; it runs in another process, so it is a function of a module, and what it gets and gives
    can be pickled.
    """

    load_current: Callable[[Session], Awaitable[Any]]
    check: Callable[[dict[str, Any] | None, Any, Names], SectionCheck]


def find_duplicates(list_name: str, key: str, names: Iterable[str]) -> list[FieldProblem]:
    """A problem for each name that occurred before it in the list `list_name`, whose items are named by `key`."""
    known: set[str] = set()
    problems: list[FieldProblem] = []
    for index, name in enumerate(names):
        if name in known:
            pointer = f"/{list_name}/{index}/{key}"
            problems.append(FieldProblem(pointer=pointer, problem=f"`{name}` is there twice", cure="rename one"))
        known.add(name)
    return problems


def find_unknown_names(references: Iterable[Reference], names: Names) -> list[FieldProblem]:
    """Those that lead to nothing. A kind of which nobody knows the names is not judged."""
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


def _check_nested_name(each: Reference, outer: Mapping[str, Sequence[str] | None] | None) -> FieldProblem | None:
    if outer is None:
        return None
    asked = [name for name in each.parents if name in outer] if each.parents else list(outer)
    known = [outer[name] for name in asked]
    if not asked or any(inner is None or each.name in inner for inner in known):
        return None
    if len(asked) == 1:
        told = f"{PARENT_KIND[each.kind]} `{asked[0]}` has no {each.kind}"
    else:
        told = f"no {PARENT_KIND[each.kind]} has the {each.kind}"
    return _problem(each, told, sorted({name for inner in known for name in inner or ()}))


def _problem(each: Reference, told: str, known: Iterable[str]) -> FieldProblem:
    valid = list(known)
    cure = suggest_name(each.name, valid) if valid else f"add the {each.kind} first"
    return FieldProblem(pointer=each.pointer, problem=f"{told} `{each.name}`", cure=cure)


def diff_sections(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Changes]:
    """By part, where there are any; both are whole sections in the same form."""
    old, new = dict(iterate_named_items(before)), dict(iterate_named_items(after))
    found: dict[str, Changes] = {}
    for part in [*new, *(part for part in old if part not in new)]:
        was, becomes = old.get(part, {}), new.get(part, {})
        changes = Changes(
            created=sorted(becomes.keys() - was.keys()),
            changed=sorted(name for name in becomes.keys() & was.keys() if becomes[name] != was[name]),
            removed=sorted(was.keys() - becomes.keys()),
        )
        if changes != Changes():
            found[part] = changes
    return found
