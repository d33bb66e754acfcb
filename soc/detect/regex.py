"""Regular expressions that mean what PCRE means and cannot hang.

RE2 where the pattern allows, else the `regex` module with a timeout: a search that runs out of time
is *undecided*, never "no match". What the engines differ in is settled before they see the pattern, in
`soc.detect.pcre` (docs/sigma-semantics.md holds the table).
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
            try:
                return self._linear.search(text) is not None
            except UnicodeEncodeError:
                # half of a surrogate pair, which only JSON escapes can bring, is no character for RE2
                return self._linear.search(_whole_characters(text)) is not None
        assert self._backtracking is not None  # noqa: S101 - one of the two engines is always set
        try:
            return self._backtracking.search(text, timeout=TIMEOUT) is not None
        except TimeoutError:
            return None


def _whole_characters(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text)


def _linear(pattern: str, flags: str) -> re2._Regexp | None:
    import re2

    from soc.detect import pcre

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pcre.for_re2(pattern, flags), options)
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
