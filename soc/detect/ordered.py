"""Comparisons of one field with times (`<`, `<=`, `>`, `>=`), decided together: a search in a sorted list.

Exceptions compare `@timestamp` with their expiry. A field whose every value is new would cost as many
comparisons as there are exceptions; so it costs the search for its place among their times.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from soc.detect.predicate import Op, Test, as_time, is_normal_time

OPS = frozenset({Op.LT, Op.LTE, Op.GT, Op.GTE})


def is_ordered(test: Test) -> bool:
    """Whether a test compares with a time."""
    return test.op in OPS and isinstance(test.operand, str) and is_normal_time(test.operand)


class Ordered:
    """The comparisons of one field, as (atom, test)."""

    def __init__(self, tests: Iterable[tuple[int, Test]]) -> None:
        self._tests = [(atom, test.op, test.operand) for atom, test in tests]
        self._operands = sorted({operand for _, _, operand in self._tests})
        self._known: dict[tuple[int, bool], frozenset[int]] = {}

    def true_of(self, text: str) -> frozenset[int]:
        """The atoms that hold for a value, none for what is no time; equal places give the same object."""
        time = as_time(text)
        if time is None:
            return frozenset()
        operands = self._operands
        at = bisect_left(operands, time)
        equal = at < len(operands) and operands[at] == time
        found = self._known.get((at, equal))
        if found is None:
            found = self._known[at, equal] = frozenset(
                atom for atom, op, operand in self._tests if _holds(op, time, operand)
            )
        return found


def _holds(op: Op, time: str, operand: str) -> bool:
    if op is Op.LT:
        return time < operand
    if op is Op.LTE:
        return time <= operand
    return time > operand if op is Op.GT else time >= operand
