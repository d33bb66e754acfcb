"""Text that must occur wherever a regular expression or a wildcard is found: the matcher's prefilter.

Written to be certain, not clever: whatever is not plainly understood gives no literal, and the expression
is then tried on every value.
"""

from __future__ import annotations

import re

from soc.detect.text import fold

_COMMON = frozenset("abcdefghijklmnopqrstuvwxyz0123456789 -.:/\\\"'=_,()")
"""Single characters that occur too often to be worth looking for."""

_FLAGS = re.compile(r"\(\?([ims]+)\)")
_QUANTIFIER = re.compile(r"\{(\d+)(?:,\d*)?\}")
_KNOWN_GROUP = re.compile(r"\(\?(?:[ims]*:|[ims]+\)|=|!|<=|<!|>|P?<[A-Za-z_]\w*>)")
_LITERAL_ESCAPES = frozenset("\\.+*?()|[]{}^$-/\"'%&,:;<>=!@#~` _")
_ZERO_WIDTH = frozenset("bB")
_CLASSES = frozenset("dDwWsS")
_CONTROL = {"t": "\t", "n": "\n", "r": "\r"}


_PLAIN_GROUP = re.compile(r"\((?:\?(?:[ims]*:|P?<[A-Za-z_]\w*>)|(?![?*]))")
"""The opening of a group that only holds its content together, with or without a name."""

_WORTHWHILE = 3
"""The least length of literals from within a group; shorter ones occur in most texts."""

Choice = tuple[str, ...]
"""Literals of which one must occur."""


class _UnclearError(Exception):
    """The pattern holds something whose meaning is not certain here."""


def required(pattern: str) -> tuple[str, ...]:
    """Folded literals of which one at least occurs in every ASCII text where the pattern is found.

    Empty when no such set is certain.
    """
    try:
        branches = _Scanner(pattern).branches()
    except (_UnclearError, IndexError):
        return ()
    best = _one_of(branches)
    return best if all(text not in _COMMON for text in best) else ()


def _one_of(branches: list[list[Choice]]) -> Choice:
    """What one of must occur where one of the branches is found; empty when that is not certain."""
    best = [max(choices, key=_quality, default=()) for choices in branches]
    return tuple(dict.fromkeys(text for choice in best for text in choice)) if all(best) else ()


def _quality(choice: Choice) -> tuple[int, int]:
    """How good it is to look for one of these: the shortest decides, then how few there are."""
    return min(map(len, choice)), -len(choice)


def longest_part(parts: tuple[str | None, ...]) -> str:
    """The longest literal of an `Op.WILDCARD` operand, folded; "" when it has none."""
    return max((fold(part) for part in parts if part), key=len, default="")


class _Scanner:
    """Reads a pattern from left to right and collects runs of plain characters outside of groups."""

    def __init__(self, pattern: str) -> None:
        flags = _FLAGS.match(pattern)
        self.text = pattern[flags.end() :] if flags else pattern
        self.at = 0

    def branches(self, *, inner: bool = False) -> list[list[Choice]]:
        """For each alternative at this level: the choices of literals of which one must occur.

        `inner`: read only up to the parenthesis that closes this group.
        """
        out: list[list[Choice]] = [[]]
        run: list[str] = []

        def close() -> None:
            if run:
                out[-1].append((fold("".join(run)),))
                run.clear()

        while self.at < len(self.text):
            char = self.text[self.at]
            if inner and char == ")":
                break
            if char == "|":
                close()
                out.append([])
                self.at += 1
                continue
            choice: Choice = ()
            plain = None
            if char == "(":
                choice = self._group()
            else:
                plain = self._plain(char)
            optional, repeated = self._quantifier()
            if plain is not None and not optional:
                run.append(plain)
            if plain is None or optional or repeated:
                close()
            if choice and not optional:
                out[-1].append(choice)
        close()
        return out

    def _group(self) -> Choice:
        """Step over a group; what one of must occur in it."""
        opening = _PLAIN_GROUP.match(self.text, self.at)
        if opening is None:
            self._skip_group()
            return ()
        self.at = opening.end()
        choice = _one_of(self.branches(inner=True))
        if self.text[self.at] != ")":
            raise _UnclearError
        self.at += 1
        return choice if all(len(text) >= _WORTHWHILE for text in choice) else ()

    def _plain(self, char: str) -> str | None:
        """Step over one item; its character when it is a plain ASCII one, None otherwise."""
        if char == "\\":
            return self._escape()
        if char == "[":
            return self._class()
        self.at += 1
        if char in ".^$":
            return None
        if char in "*+?)":
            raise _UnclearError
        return char if char.isascii() else None

    def _escape(self) -> str | None:
        char = self.text[self.at + 1]
        self.at += 2
        if char in _LITERAL_ESCAPES:
            return char
        if char in _CONTROL:
            return _CONTROL[char]
        if char in _ZERO_WIDTH or char in _CLASSES:
            return None
        raise _UnclearError

    def _quantifier(self) -> tuple[bool, bool]:
        """Step over a quantifier: whether the item may be missing, and whether there was one."""
        if self.at >= len(self.text):
            return False, False
        char = self.text[self.at]
        if char in "*?":
            optional = True
            self.at += 1
        elif char == "+":
            optional = False
            self.at += 1
        elif char == "{":
            found = _QUANTIFIER.match(self.text, self.at)
            if not found:
                raise _UnclearError
            optional = int(found[1]) == 0
            self.at = found.end()
        else:
            return False, False
        if self.text[self.at : self.at + 1] in {"?", "+"}:  # lazy or possessive
            self.at += 1
        if self.text[self.at : self.at + 1] in {"*", "{"}:
            raise _UnclearError
        return optional, True

    def _class(self) -> str | None:
        """Step over a class; its letter when it is one letter in both cases."""
        begin = self.at + 1
        self._skip_class()
        letters = self.text[begin : self.at - 1]
        both = len(letters) == 2 and letters.isascii() and letters.isalpha() and letters[0] != letters[1]
        return letters[0] if both and letters[0].lower() == letters[1].lower() else None

    def _skip_class(self) -> None:
        self.at += 1
        if self.text[self.at] == "^":
            self.at += 1
        if self.text[self.at] == "]":
            self.at += 1
        while self.text[self.at] != "]":
            if self.text[self.at] == "[":  # a class by name, or a set operation of some engine
                raise _UnclearError
            self.at += 2 if self.text[self.at] == "\\" else 1
        self.at += 1

    def _skip_group(self) -> None:
        depth = 0
        while True:
            char = self.text[self.at]
            if char == "\\":
                if self.text[self.at + 1] in "QE":
                    raise _UnclearError
                self.at += 2
                continue
            if char == "[":
                self._skip_class()
                continue
            if char == "(":
                depth += 1
                if self.text[self.at + 1] in "?*" and not _KNOWN_GROUP.match(self.text, self.at):
                    raise _UnclearError  # comments, conditions, recursion, flags that change how to read on
            elif char == ")":
                depth -= 1
                if not depth:
                    self.at += 1
                    return
            self.at += 1
