"""Reads a shift file, or says in sentences why it cannot be used."""

from collections.abc import Hashable, Mapping
from datetime import date
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from scaling.checks import find_problems
from scaling.schedule import Schedule, ScheduleSpec, to_schedule


class ScheduleError(Exception):
    """A shift file that cannot be used. `problems`: one sentence each, with the path of the value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class _Loader(yaml.BaseLoader):
    """Reads every scalar as text, since YAML takes 20:00 for a number in base 60, and refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [str(key.value) for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(str(key.value)) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` is there twice", key.start_mark)
        return super().construct_mapping(node, deep=deep)


def read_schedule(text: str, *, partitions: Mapping[str, int], years_from: date) -> Schedule:
    """Parses and checks a shift file. `partitions`: by service the largest number of partitions of a topic that it reads or
    writes: no more replicas of its role `work` have anything to do. Edges are checked against the clock changes of the ten years from
    `years_from`. Raises ScheduleError with all problems."""
    try:
        document = _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        raise ScheduleError([f"This is not YAML: {error}".replace("\n", " ")]) from error
    try:
        spec = TypeAdapter(ScheduleSpec).validate_python(document)
    except ValidationError as error:
        raise ScheduleError([_sentence(each) for each in error.errors()]) from error
    if problems := find_problems(spec, partitions=partitions, years_from=years_from):
        raise ScheduleError(problems)
    return to_schedule(spec)


def _sentence(error: Any) -> str:
    path = ".".join(str(step) for step in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    return f"{path or 'the file'}: {message[0].lower()}{message[1:]}."
