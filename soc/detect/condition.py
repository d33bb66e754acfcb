"""The condition of a rule, read: `selection and not 1 of filter_*`.

    or, and, not        in order of how strongly they bind; written in lower or upper case
    1 of NAME*          any of the detections called so (`any of` is the same); `all of`: each of them
    1 of them           of all detections but those whose name begins with `_`
    ( … )               as usual

Sigma specification 2.1, section Condition. A word that only begins like an operator (`notepad`) is a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

MAX_DEPTH = 50
"""Deepest nesting of parentheses and `not`."""


class ConditionError(ValueError):
    """A condition that cannot be read; `column` counts characters from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(f"{message}, at character {column} of the condition")
        self.column = column


@dataclass(frozen=True, slots=True)
class Named:
    """One detection by its name."""

    name: str


@dataclass(frozen=True, slots=True)
class Of:
    """`1 of pattern` or, with `every`, `all of pattern`; the pattern `them` means all."""

    every: bool
    pattern: str

    def __str__(self) -> str:
        return f"{'all' if self.every else '1'} of {self.pattern}"

    def names(self, there: Iterable[str]) -> list[str]:
        """Which of the detections that are there it means, in their order."""
        if self.pattern == "them":
            return [name for name in there if not name.startswith("_")]
        wanted = re.compile(".*".join(map(re.escape, self.pattern.split("*"))), re.DOTALL)
        hidden = self.pattern.startswith("_")
        return [name for name in there if wanted.fullmatch(name) and (hidden or not name.startswith("_"))]


@dataclass(frozen=True, slots=True)
class Every:
    """All of the parts (`and`)."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """One of the parts at least (`or`)."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Never:
    """The part does not hold (`not`)."""

    part: Condition


Condition = Named | Of | Every | Either | Never

_TOKEN = re.compile(r"\s*([()]|[^\s()]+)")
_WORDS = {"and", "or", "not"}


def parse(text: str) -> Condition:
    """The condition as a tree. Raises `ConditionError`."""
    if "|" in text:
        raise ConditionError(
            "aggregations after `|` are no longer part of Sigma: write a correlation", text.index("|") + 1
        )
    reader = _Reader(text)
    found = reader.alternatives(0)
    if reader.sign:
        raise reader.unexpected()
    return found


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.end = 0
        self.sign = ""
        self.column = 1
        self.step()

    def step(self) -> str:
        """Move to the next token; the one that was there."""
        before = self.sign
        found = _TOKEN.match(self.text, self.end)
        self.column = (found.start(1) if found else len(self.text.rstrip())) + 1
        self.sign = found[1] if found else ""
        self.end = found.end() if found else len(self.text)
        return before

    @property
    def word(self) -> str:
        """The token, when it is an operator, in lower case."""
        lowered = self.sign.lower()
        return lowered if self.sign in {lowered, lowered.upper()} and lowered in _WORDS else ""

    def unexpected(self) -> ConditionError:
        what = f"{self.sign!r} is not expected" if self.sign else "something is missing"
        return ConditionError(what, self.column)

    def alternatives(self, depth: int) -> Condition:
        parts = [self.conjunction(depth)]
        while self.word == "or":
            self.step()
            parts.append(self.conjunction(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def conjunction(self, depth: int) -> Condition:
        parts = [self.negation(depth)]
        while self.word == "and":
            self.step()
            parts.append(self.negation(depth))
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def negation(self, depth: int) -> Condition:
        if depth > MAX_DEPTH:
            raise ConditionError("nested too deep", self.column)
        if self.word == "not":
            self.step()
            return Never(self.negation(depth + 1))
        if self.sign == "(":
            self.step()
            found = self.alternatives(depth + 1)
            if self.sign != ")":
                raise self.unexpected()
            self.step()
            return found
        if not self.sign or self.sign == ")" or self.word:
            raise self.unexpected()
        name = self.step()
        if self.sign.lower() != "of":
            return Named(name)
        if name.lower() not in {"1", "any", "all"}:
            raise ConditionError(
                f"`{name} of` is not part of Sigma, which has `1 of` and `all of`", self.column
            )
        self.step()
        if not self.sign or self.sign in {"(", ")"} or self.word:
            raise self.unexpected()
        return Of(name.lower() == "all", self.step())
