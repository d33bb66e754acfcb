"""Regular expressions of collectors: checked when they are read, harmless whatever a line holds.

A pattern must be one that RE2 accepts (no look-around, no back-reference), and must not repeat a repetition.
Python's own engine is several times faster at handing out groups, so it matches lines up to `SHORT`
characters; longer lines, which could make a backtracking engine slow, are matched by RE2 in linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

SHORT = 4096
"""Longest line, in characters, that Python's engine matches."""


class PatternError(ValueError):
    """A pattern that a collector may not use; the message says why."""


Match = Any
Matcher = Callable[[str], Match]


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern for Python's engine; classes such as \\d are ASCII, as in RE2."""
    return re.compile(pattern, re.ASCII)


@lru_cache(maxsize=4096)
def linear(pattern: str) -> Any:
    """The pattern for RE2."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 64 << 20
    return re2.compile(pattern, options)


def matcher(pattern: str, *, long: bool = False) -> Matcher:
    """A function from text to a match or None. A pattern matches at the start; write `.*` to look further."""
    out: Matcher = (linear(pattern) if long else compiled(pattern)).match
    return out


def check(pattern: str) -> None:
    """Raises `PatternError` for a pattern that neither engine may run."""
    import re2

    try:
        compiled(pattern)
    except re.error as error:
        raise PatternError(f"not a regular expression: {error}") from None
    except (RecursionError, OverflowError):
        raise PatternError("the regular expression is too large") from None
    try:
        linear(pattern)
    except re2.error as error:
        raise PatternError(
            f"RE2, which has no look-around and no back-references, does not accept this: {error}"
        ) from None
    if nested(pattern):
        raise PatternError("a repetition within a repetition, as in (a+)+, can take for ever; write it flat")


def nested(pattern: str) -> bool:
    """Whether an unbounded repetition directly contains another one and nothing else that delimits it.

    `(?: [^ ]+)*` is fine: each turn must begin with a blank, which the inner repetition cannot take. What is
    refused is a group whose whole body is one repetition, or several that may be empty.
    """
    return re.search(r"\((?:\?:|\?P<\w+>)?(?:\\?.|\[[^\]]*\])[*+]\)[*+]", pattern) is not None


def groups(pattern: str) -> list[str | None]:
    """The names of the groups, in order; None for a group without a name."""
    made = compiled(pattern)
    names: list[str | None] = [None] * made.groups
    for name, index in made.groupindex.items():
        names[index - 1] = name
    return names
