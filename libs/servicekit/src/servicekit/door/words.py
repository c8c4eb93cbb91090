"""What fields and parameters mean that go by the same name everywhere, each with an example."""

from typing import Any, NamedTuple


class Word(NamedTuple):
    """Of a field by its name, or by its schema's name and its own (`Receipt.status`), and of a parameter by `?` and its
    name, or by its operation's name, `?` and its own. The longer name goes first."""

    text: str
    example: Any


SHARED: dict[str, Word] = {}
