"""A quick test on an encoded body that is certain never to leave out a match.

Decoding and evaluating every event costs a hundred times more than looking for a word in its bytes. A
predicate that can be true only if some text occurs in the event gives that text as a *needle*; bodies
without it are not even decoded. Whatever is not certain gives no needle.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

from soc.detect.predicate import And, Op, Or, Predicate, Test
from soc.detect.text import fold

MAX_NEEDLES = 64
"""Largest number of alternatives that are looked for one after the other."""

_NUMERIC = frozenset("0123456789.+-einfa")
"""Characters of which the text of a number is made: numbers are written in JSON otherwise than in rules."""

_BECOME_ASCII = tuple(
    (character.encode(), meant)
    for character, meant in (("ſ", b"s"), ("\u212a", b"k"), ("\u037e", b";"), ("\u1fef", b"`"))
)
"""The code points beyond ASCII that `fold` turns into ASCII (all of them: a test goes through Unicode)."""

_BEYOND_ASCII = b"\xff"
"""Stands for "not all of the body is ASCII": this byte is never in UTF-8, and ASCII folds to ASCII."""

_DIGITS = re.compile(r"[1-9][0-9]{0,14}", re.ASCII)
"""A number that is written alike in JSON and in rules, whether as integer, as fraction or as text."""

Clause = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Needles:
    """All of `clauses` must hold; a clause holds when any of its needles is in the body in lower case."""

    clauses: tuple[Clause, ...] = ()

    @classmethod
    def of(cls, predicate: Predicate) -> Needles:
        """The needles of a predicate; none when nothing is certain."""
        return cls(tuple(_clauses(predicate)))

    def may_match(self, body: bytes | str) -> bool:
        """Whether the body has all that a match needs."""
        if not self.clauses or not isinstance(body, bytes):
            return True
        lowered = body.lower()
        if not lowered.isascii():
            for written, meant in _BECOME_ASCII:
                lowered = lowered.replace(written, meant)
            lowered += _BEYOND_ASCII
        for clause in self.clauses:  # loops, not generators: this is asked of every event
            for needle in clause:
                if needle in lowered:
                    break
            else:
                return False
        return True


def _clauses(predicate: Predicate) -> list[Clause]:
    if isinstance(predicate, Test):
        needle = _needle(predicate)
        return [(needle,)] if needle else []
    if isinstance(predicate, And):
        return [clause for part in predicate.parts for clause in _clauses(part)]
    if isinstance(predicate, Or):
        union: list[bytes] = []
        for part in predicate.parts:
            inner = _clauses(part)
            if not inner:
                return []
            # any one clause of a branch is needed for that branch: the shortest list, then the longest needle
            best: Clause = min(inner, key=_cost)
            union += best
        return [tuple(union)] if 0 < len(union) <= MAX_NEEDLES else []
    return []


def _cost(clause: Clause) -> tuple[int, int]:
    return len(clause), -len(clause[0])


_ASCII_RUN = re.compile(r"[\x00-\x7f]+")
SHORT = 3
"""ASCII runs below this length say less than that the text is not all ASCII."""

_LITERAL_OPS = (Op.EQUALS, Op.CONTAINS, Op.STARTSWITH, Op.ENDSWITH, Op.WILDCARD)


def _needle(test: Test) -> bytes:
    """The longest text that a body must hold for the test to be true, as JSON writes it; empty for none."""
    if test.op not in _LITERAL_OPS:
        return b""
    parts = test.operand if test.op is Op.WILDCARD else (test.operand,)
    literals = [fold(p) for p in parts if isinstance(p, str)]
    if test.op is Op.EQUALS and literals and _DIGITS.fullmatch(literals[0]):
        return literals[0].encode()
    runs = [run for p in literals if not _NUMERIC.issuperset(p) for run in _ASCII_RUN.findall(p)]
    longest = max(runs, key=len, default="")
    if len(longest) < SHORT and not all(p.isascii() for p in literals):
        return _BEYOND_ASCII
    return orjson.dumps(longest)[1:-1].lower()
