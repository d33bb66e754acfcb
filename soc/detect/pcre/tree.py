"""The tree of a regular expression."""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[int, int]
"""The first and the last code point of a range."""


@dataclass(frozen=True, slots=True)
class Text:
    """Characters as they are; with `folded`, in any case."""

    text: str
    folded: bool


@dataclass(frozen=True, slots=True)
class Class:
    """One character out of ranges and Unicode properties, or, `negated`, any other one."""

    ranges: tuple[Range, ...]
    properties: tuple[str, ...] = ()
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Assertion:
    """A place: `start`, `end`, `line_start`, `line_end` (multi line), `very_end`, `word`, `not_word`."""

    kind: str


@dataclass(frozen=True, slots=True)
class Concatenation:
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the branches, the first that leads to a match."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """`opening` is how the group begins for the backtracking engine: `(`, `(?:`, `(?>`, `(?=`, `(?<!` …"""

    opening: str
    body: Node


@dataclass(frozen=True, slots=True)
class Repeat:
    """`mode` is "" (greedy), `?` (lazy) or `+` (possessive); `most` None: without bound."""

    body: Node
    least: int
    most: int | None
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Special:
    """What only the backtracking engine has, in its own words; `why` for people, `width` at least."""

    text: str
    why: str
    width: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """`(?(name)yes|no)`: whether the group `name` (or number) took part decides."""

    name: str
    body: Node


Node = Condition | Text | Class | Assertion | Concatenation | Choice | Group | Repeat | Special


def least_width(node: Node) -> int:
    """The fewest characters that the node consumes."""
    if isinstance(node, Text):
        return len(node.text)
    if isinstance(node, Class):
        return 1
    if isinstance(node, Special):
        return node.width
    if isinstance(node, Concatenation):
        return sum(map(least_width, node.items))
    if isinstance(node, Choice):
        return min(map(least_width, node.branches))
    if isinstance(node, Repeat):
        return node.least * least_width(node.body)
    if isinstance(node, Group) and node.opening not in {"(?=", "(?!", "(?<=", "(?<!"}:
        return least_width(node.body)
    return 0
