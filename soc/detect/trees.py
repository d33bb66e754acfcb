"""Predicates as trees of numbered tests (*atoms*), which is how the matcher evaluates them.

A tree is the number of an atom, or (kind, parts) with kind `And`, `Or` or `Not`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from soc.detect.predicate import And, Not, Op, Or, Predicate, Test, Verdict

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
        return _opposite(parts[0])
    atoms = frozenset(part for part in parts if isinstance(part, int))
    rest = [truth_of(part) for part in parts if not isinstance(part, int)]
    if kind is And:
        return _every([atoms.issubset, *rest] if atoms or not rest else rest)
    if not rest:
        absent = atoms.isdisjoint
        return lambda true: not absent(true)
    return _some([lambda true: not atoms.isdisjoint(true), *rest] if atoms else rest)


def _opposite(tree: Any) -> Truth:
    if isinstance(tree, int):
        return lambda true: tree not in true
    if tree[0] is Or and all(isinstance(part, int) for part in tree[1]):
        return frozenset(tree[1]).isdisjoint
    inner = truth_of(tree)
    return lambda true: not inner(true)


def _every(parts: Sequence[Truth]) -> Truth:
    """All of the parts; written out for few of them, because a loop costs more than the parts."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        first, second = parts
        return lambda true: first(true) and second(true)
    if len(parts) == 3:
        one, two, three = parts
        return lambda true: one(true) and two(true) and three(true)

    def every(true: set[int]) -> bool:
        for part in parts:  # noqa: SIM110 - `all` with a generator takes twice as long
            if not part(true):
                return False
        return True

    return every


def _some(parts: Sequence[Truth]) -> Truth:
    """One of the parts at least."""
    if len(parts) == 2:
        first, second = parts
        return lambda true: first(true) or second(true)

    def some(true: set[int]) -> bool:
        for part in parts:  # noqa: SIM110 - `any` with a generator takes twice as long
            if part(true):
                return True
        return False

    return some


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
