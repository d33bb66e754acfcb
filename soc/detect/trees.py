"""Predicates as trees of numbered tests (*atoms*), which is how the matcher evaluates them.

A tree is the number of an atom, or (kind, parts) with kind `And`, `Or` or `Not`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from soc.detect.predicate import And, Not, Op, Predicate, Test, Verdict

Tree = Any
"""An int, or (kind, tuple of trees): recursive, which type checkers cannot follow through tuples of both."""

Truth = Callable[[set[int]], bool]
"""Whether a predicate holds, given the atoms that do."""

_COST = {Op.NULL: 1000.0, Op.EXISTS: 800.0, Op.EQUALS: 2.0, Op.CIDR: 20.0, Op.REGEX: 10.0, Op.WILDCARD: 5.0}


class Atoms:
    """Numbers tests: equal ones get one number. `costs` says how good a gate each makes (None: none)."""

    def __init__(self, routing: Collection[str]) -> None:
        self.routing = frozenset(routing)
        self.tests: list[Test] = []
        self.costs: list[float | None] = []
        self._numbers: dict[Test, int] = {}

    def tree(self, predicate: Predicate) -> Tree:
        """A predicate with numbers as its leaves."""
        if isinstance(predicate, Test):
            return self.number(predicate)
        if isinstance(predicate, Not):
            return (Not, (self.tree(predicate.part),))
        known = self._numbers
        parts = []
        for part in predicate.parts:
            number = known.get(part) if type(part) is Test else None
            parts.append(self.tree(part) if number is None else number)
        return (type(predicate), tuple(parts))

    def number(self, test: Test) -> int:
        """The number of a test."""
        number = self._numbers.setdefault(test, len(self.tests))
        if number == len(self.tests):
            self.tests.append(test)
            self.costs.append(None if self.routes(test) else cost(test))
        return number

    def routes(self, test: Test) -> bool:
        """Whether the test is one of a routing field, and so has one result for all events of a partition."""
        return test.field in self.routing and test.op is not Op.FIELDREF


def cost(test: Test) -> float:
    """How often a test may be true, roughly: what is rare makes a good gate."""
    if test.op in _COST:
        return _COST[test.op]
    if isinstance(test.operand, str) and test.op is not Op.FIELDREF:
        return 1.0 + 60.0 / (1 + len(test.operand))
    return 100.0


def leaves(tree: Tree) -> Iterator[int]:
    """The atoms of a tree, repeated where they stand more than once."""
    if isinstance(tree, int):
        yield tree
        return
    for part in tree[1]:
        if isinstance(part, int):
            yield part
        else:
            yield from leaves(part)


def needed(tree: Tree, costs: Sequence[float | None]) -> tuple[float, frozenset[int]] | None:
    """The cheapest set of atoms of which one must hold for the tree to hold, with its cost.

    None when it can hold without any. Atoms without a cost do not count.
    """
    if isinstance(tree, int):
        one = costs[tree]
        return None if one is None else (one, frozenset((tree,)))
    kind, parts = tree
    if kind is Not:
        return None
    if kind is And:
        best = None
        for part in parts:
            found = needed(part, costs)
            if found is not None and (best is None or found[0] < best[0]):
                best = found
        return best
    total, atoms = 0.0, []
    for part in parts:
        found = needed(part, costs)
        if found is None:
            return None
        total += found[0]
        atoms.append(found[1])
    return total, frozenset().union(*atoms)


def truth_of(tree: Any) -> Truth:
    """A tree of atoms as a function of the set of true atoms."""
    if isinstance(tree, int):
        return lambda true: tree in true
    kind, parts = tree
    if kind is Not:
        inner = truth_of(parts[0])
        return lambda true: not inner(true)
    atoms = frozenset(part for part in parts if isinstance(part, int))
    rest = [truth_of(part) for part in parts if not isinstance(part, int)]
    if kind is And:
        if not rest:
            return atoms.issubset
        return lambda true: atoms.issubset(true) and all(part(true) for part in rest)
    if not rest:
        return lambda true: not atoms.isdisjoint(true)
    return lambda true: not atoms.isdisjoint(true) or any(part(true) for part in rest)


def kleene(tree: Any, true: set[int], undecided: frozenset[int]) -> Verdict:
    """The verdict of a tree of atoms where some are undecided (Kleene's strong logic)."""
    if isinstance(tree, int):
        return Verdict.TRUE if tree in true else Verdict.UNDECIDED if tree in undecided else Verdict.FALSE
    kind, parts = tree
    if kind is Not:
        inner = kleene(parts[0], true, undecided)
        return {Verdict.TRUE: Verdict.FALSE, Verdict.FALSE: Verdict.TRUE}.get(inner, inner)
    settled, result = (Verdict.FALSE, Verdict.TRUE) if kind is And else (Verdict.TRUE, Verdict.FALSE)
    for part in parts:
        verdict = kleene(part, true, undecided)
        if verdict is settled:
            return settled
        if verdict is Verdict.UNDECIDED:
            result = verdict
    return result
