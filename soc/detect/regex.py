"""Regular expressions that mean what PCRE means and cannot hang.

RE2 where the pattern allows, else the `regex` module with a timeout: a search that runs out of time
is *undecided*, never "no match". What the engines differ in is settled before they see the pattern, in
`soc.detect.pcre` (docs/sigma-semantics.md holds the table).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re2
    import regex

TIMEOUT = 0.1
"""Longest time for one search with the backtracking engine, in seconds."""


FAR = 15
"""The largest count of a repetition in an expression that is searched for together with others."""

_COUNTS = re.compile(r"(?<!\\x)\{(\d+),?(\d*)\}")


class PatternError(ValueError):
    """A pattern that is no regular expression of PCRE, or that no engine accepts."""


class Compiled:
    """A compiled pattern. `search` says True, False, or None when it ran out of time."""

    __slots__ = ("_backtracking", "_linear", "engine")

    def __init__(self, pattern: str, flags: str) -> None:
        self._linear = _linear(pattern, flags)
        self._backtracking = None if self._linear is not None else _backtracking(pattern, flags)
        self.engine = "re2" if self._linear is not None else "regex"

    def search(self, text: str) -> bool | None:
        """Whether the pattern is found anywhere in the text; None: undecided."""
        if self._linear is not None:
            # bytes: for a text the library also works out where in it, in characters, a match stands
            return self._linear.search(_encoded(text)) is not None
        assert self._backtracking is not None  # noqa: S101 - one of the two engines is always set
        try:
            return self._backtracking.search(text, timeout=TIMEOUT) is not None
        except TimeoutError:
            return None

    @property
    def joinable(self) -> bool:
        """Whether it may be one of `Several`."""
        if self._linear is None:
            return False
        counts = _COUNTS.findall(self._linear.pattern)
        return all(int(count) <= FAR for pair in counts for count in pair if count)

    @property
    def linear(self) -> str:
        """The expression as RE2 has it, "" where it takes the other engine."""
        return "" if self._linear is None else str(self._linear.pattern)


class Several:
    """Several linear expressions searched for in one pass. Raises ValueError when they take too much memory.

    Only `joinable` ones: a repetition that counts far makes the joint automaton so large that it is built
    anew for every text.
    """

    def __init__(self, patterns: Sequence[Compiled]) -> None:
        import re2

        self._patterns = patterns
        self._set = re2.Set.SearchSet(_options())
        self._set.Add("")  # is found in every text: where it is not, the search itself failed
        for pattern in patterns:
            self._set.Add(pattern.linear)
        try:
            self._set.Compile()
        except re2.error as error:
            raise ValueError(f"{error}") from None

    def search(self, text: str) -> list[int]:
        """The numbers of those that are found, from 0."""
        found = self._set.Match(_encoded(text))
        if found:
            return [number - 1 for number in found if number]
        return [number for number, pattern in enumerate(self._patterns) if pattern.search(text)]


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # half of a surrogate pair, which only JSON escapes can bring, is no character for RE2
        return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text).encode()


def _options() -> re2.Options:
    import re2

    options = re2.Options()
    options.log_errors = False
    return options


def _linear(pattern: str, flags: str) -> re2._Regexp | None:
    import re2

    from soc.detect import pcre

    try:
        return re2.compile(pcre.for_re2(pattern, flags), _options())
    except pcre.PatternSyntaxError as error:
        raise PatternError(f"{error}") from None
    except (re2.error, pcre.NotLinearError, UnicodeEncodeError):
        return None


def _backtracking(pattern: str, flags: str) -> regex.Pattern[str]:
    import regex

    from soc.detect import pcre

    try:
        expression, ascii_ = pcre.for_regex(pattern, flags)
        return regex.compile(expression, regex.VERSION0 | (regex.ASCII if ascii_ else regex.UNICODE))
    except regex.error as error:
        raise PatternError(f"{error}") from None


@lru_cache(maxsize=16384)
def compiled(pattern: str, flags: str = "") -> Compiled:
    """The compiled form of a pattern; raises `PatternError` when no engine accepts it."""
    return Compiled(pattern, flags)
