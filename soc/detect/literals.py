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
    best = [max(literals, key=len, default="") for literals in branches]
    return tuple(dict.fromkeys(best)) if all(text and text not in _COMMON for text in best) else ()


def longest_part(parts: tuple[str | None, ...]) -> str:
    """The longest literal of an `Op.WILDCARD` operand, folded; "" when it has none."""
    return max((fold(part) for part in parts if part), key=len, default="")


class _Scanner:
    """Reads a pattern from left to right and collects runs of plain characters outside of groups."""

    def __init__(self, pattern: str) -> None:
        flags = _FLAGS.match(pattern)
        self.text = pattern[flags.end() :] if flags else pattern
        self.at = 0

    def branches(self) -> list[list[str]]:
        """For each alternative at the top: its literals."""
        out: list[list[str]] = [[]]
        run: list[str] = []

        def close() -> None:
            if run:
                out[-1].append(fold("".join(run)))
                run.clear()

        while self.at < len(self.text):
            char = self.text[self.at]
            if char == "|":
                close()
                out.append([])
                self.at += 1
                continue
            plain = self._plain(char)
            optional, repeated = self._quantifier()
            if plain is not None and not optional:
                run.append(plain)
            if plain is None or optional or repeated:
                close()
        close()
        return out

    def _plain(self, char: str) -> str | None:
        """Step over one item; its character when it is a plain ASCII one, None otherwise."""
        if char == "\\":
            return self._escape()
        if char == "[":
            self._skip_class()
            return None
        if char == "(":
            self._skip_group()
            return None
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
