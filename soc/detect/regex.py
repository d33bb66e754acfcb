"""Regular expressions that mean what PCRE means and cannot hang.

RE2 where the pattern allows, else the `regex` module with a timeout: a search that runs out of time
is *undecided*, never "no match". The differences of the engines are settled here, in one place
(docs/sigma-semantics.md holds the table).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re2
    import regex

TIMEOUT = 0.1
"""Longest time for one search with the backtracking engine, in seconds."""


class PatternError(ValueError):
    """A pattern that no engine accepts."""


class Compiled:
    """A compiled pattern. `search` says True, False, or None when it ran out of time."""

    __slots__ = ("_backtracking", "_before_newline", "_linear", "engine")

    def __init__(self, pattern: str, flags: str) -> None:
        self._linear = _linear(pattern, flags)
        self._backtracking = None if self._linear is not None else _backtracking(pattern, flags)
        # in PCRE `$` also holds before a line end that closes the text; in RE2 only at the very end
        self._before_newline = "$" in pattern and "\\z" not in pattern
        self.engine = "re2" if self._linear is not None else "regex"

    def search(self, text: str) -> bool | None:
        """Whether the pattern is found anywhere in the text; None: undecided."""
        if self._linear is not None:
            if not text.isascii():
                # half of a surrogate pair, which only JSON escapes can bring, is no character for RE2
                text = text.encode("utf-8", "replace").decode()
            if self._linear.search(text) is not None:
                return True
            return self._before_newline and text[-1:] == "\n" and self._linear.search(text[:-1]) is not None
        assert self._backtracking is not None  # noqa: S101 - one of the two engines is always set
        try:
            return self._backtracking.search(text, timeout=TIMEOUT) is not None
        except TimeoutError:
            return None


def _linear(pattern: str, flags: str) -> re2._Regexp | None:
    import re2

    options = re2.Options()
    options.log_errors = False
    letters = "".join(letter for letter in flags if letter in "ims")
    try:
        return re2.compile(f"(?{letters}:{pattern})" if letters else pattern, options)
    except re2.error:
        return None


def _backtracking(pattern: str, flags: str) -> regex.Pattern[str]:
    import regex

    value = regex.VERSION0
    if "i" not in flags or pattern.isascii():
        # \w, \d, \s and \b are about ASCII in PCRE and RE2; the flag would also keep É from equalling é
        value |= regex.ASCII
    for letter, flag in (("i", regex.IGNORECASE), ("m", regex.MULTILINE), ("s", regex.DOTALL)):
        if letter in flags:
            value |= flag
    try:
        return regex.compile(pattern, value)
    except regex.error as error:
        raise PatternError(f"{error}") from None


@lru_cache(maxsize=16384)
def compiled(pattern: str, flags: str = "") -> Compiled:
    """The compiled form of a pattern; raises `PatternError` when no engine accepts it."""
    return Compiled(pattern, flags)
