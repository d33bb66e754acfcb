"""All rules on one event, in one pass, at a cost that hardly grows with their number.

The tests of all rules are numbered once (`soc.detect.atoms`). For an event:

1. *Route.* The fields that log sources ask about (dataset, channel, event id) choose a partition: the
   rules that can apply to such events, worked out when the first of them comes.
2. *See.* Each field that a rule of the partition reads is looked up: what does this value make true?
3. *Decide.* The sights of all fields together are looked up: which rules does that combination fire? Only
   a new combination is worked out, and in it only rules of which a needed atom is true.

Steps 2 and 3 are remembered within a bound, so a stream that resembles itself costs a few look-ups an
event. The results are those of `soc.detect.predicate.evaluate`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any

from soc.detect.atoms import NONE, Budget, FieldTable, Memo, Sight
from soc.detect.predicate import And, Not, Op, Predicate, Test, Verdict, evaluate_test, tests
from soc.detect.rule import Rule

REMEMBERED = 32_000_000
"""Default bound on remembered values, in characters."""

COMBINATIONS = 50_000
"""How many combinations of sights are remembered before they are all forgotten."""

PARTITIONS = 4096
"""How many partitions are kept before they are all forgotten."""

Truth = Callable[[set[int]], bool]
"""Whether a predicate holds, given the atoms that do."""


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that is true of an event, or whose verdict is undecided."""

    rule: Rule
    verdict: Verdict


class _Compiled:
    """A rule in terms of atoms; its parts are worked out when they are first needed."""

    __slots__ = ("_truth", "fields", "keywords", "needs", "number", "references", "routed", "rule", "tree")

    def __init__(self, number: int, rule: Rule, tree: Any) -> None:
        self.number = number
        self.rule = rule
        self.tree = tree
        self._truth: Truth | None = None
        self.fields: tuple[str, ...] = ()
        self.references: tuple[tuple[int, Test], ...] = ()
        self.keywords = False
        self.needs: frozenset[int] | None = None
        self.routed: list[Any] = []

    def holds(self, true: set[int]) -> bool:
        """Whether the rule is true, when nothing is undecided."""
        if self._truth is None:
            self._truth = truth_of(self.tree)
        return self._truth(true)


class _Partition:
    """The rules for events of one kind, and what must be looked at to decide them."""

    __slots__ = (
        "always",
        "keywords",
        "memos",
        "names",
        "needing",
        "references",
        "results",
        "route",
        "tables",
    )

    def __init__(self, route: Sequence[Sight]) -> None:
        self.route = _union(route)
        self.names: tuple[str, ...] = ()
        self.tables: tuple[FieldTable, ...] = ()
        self.memos: tuple[Memo, ...] = ()
        self.needing: dict[int, list[_Compiled]] = {}
        self.always: list[_Compiled] = []
        self.references: list[tuple[int, Test]] = []
        self.keywords = False
        self.results: dict[tuple[Any, ...], tuple[Match, ...]] = {}


class Matcher:
    """Decides every runnable rule on an event.

    `remembered` bounds what is kept of values seen, in characters (the process uses about four times as
    many bytes for it).
    """

    def __init__(self, rules: Iterable[Rule], *, remembered: int = REMEMBERED) -> None:
        self._numbers: dict[Test, int] = {}
        self._budget = Budget(remembered)
        self._rules = [rule for rule in rules if rule.runnable and not rule.blind]
        routing = {t.field for rule in self._rules for t in tests(rule.source) if t.field}
        self._route_names = tuple(sorted(routing))
        self._compiled = [self._compile(n, rule, routing) for n, rule in enumerate(self._rules)]
        self._sources = self._group_by_source()
        self._tables = self._make_tables()
        self._route_memos = tuple(self._tables[name].memo for name in self._route_names)
        self._keywords = self._tables.get(None)
        self._partitions: dict[tuple[Sight, ...], _Partition] = {}
        self._combinations = 0
        self._referred = {n: Sight(frozenset((n,))) for t, n in self._numbers.items() if t.op is Op.FIELDREF}
        self._matches = [Match(rule, Verdict.TRUE) for rule in self._rules]

    @property
    def rules(self) -> list[Rule]:
        """The rules that are decided: those that are runnable and not blind."""
        return self._rules

    def prepare(self) -> None:
        """Build everything now that is otherwise built when it is first needed."""
        for table in self._tables.values():
            table.prepare()

    def match(self, event: Mapping[str, Any]) -> tuple[Match, ...]:
        """The rules that are true of the event or undecided, in the order of the rules."""
        get = event.get
        try:
            route = tuple(map(getitem, self._route_memos, map(get, self._route_names)))
        except TypeError:  # a list is looked up by its elements
            route = tuple([self._tables[name].of(get(name)) for name in self._route_names])
        partition = self._partitions.get(route)
        if partition is None:
            partition = self._partition(route)
        key: tuple[Any, ...]
        try:
            key = tuple(map(getitem, partition.memos, map(get, partition.names)))
        except TypeError:
            key = tuple([t.of(v) for t, v in zip(partition.tables, map(get, partition.names), strict=True)])
        if partition.references or partition.keywords:
            key = (*key, *self._beyond_fields(partition, event))
        found = partition.results.get(key)
        return self._decide(partition, key) if found is None else found

    def _beyond_fields(self, partition: _Partition, event: Mapping[str, Any]) -> list[Any]:
        """What is true of the event as a whole: keywords, and references between fields."""
        out: list[Any] = []
        if partition.keywords and self._keywords is not None:
            out.append(self._keywords.anywhere(event))
        for atom, test in partition.references:
            out.append(self._referred[atom] if evaluate_test(test, event) is Verdict.TRUE else None)
        return out

    def _decide(self, partition: _Partition, key: tuple[Any, ...]) -> tuple[Match, ...]:
        """The rules that a new combination of sights fires; remembered for its next occurrence."""
        seen = _union([partition.route, *(sight for sight in key if sight is not None)])
        true = set(seen.true)
        candidates = list(partition.always)
        needing = partition.needing
        for atom in true if not seen.undecided else true | seen.undecided:
            if atom in needing:
                candidates += needing[atom]
        if not candidates:
            found: tuple[Match, ...] = ()
        else:
            ordered = sorted(set(candidates), key=_number)
            if seen.undecided:
                found = self._decide_partly(ordered, true, seen.undecided)
            else:
                found = tuple([self._matches[c.number] for c in ordered if c.holds(true)])
        self._combinations += 1
        if self._combinations > COMBINATIONS:
            self._combinations = 1
            for other in self._partitions.values():
                other.results.clear()
        partition.results[key] = found
        return found

    def _decide_partly(
        self, candidates: Iterable[_Compiled], true: set[int], undecided: frozenset[int]
    ) -> tuple[Match, ...]:
        verdicts = [(c, kleene(c.tree, true, undecided)) for c in candidates]
        return tuple([Match(c.rule, v) for c, v in verdicts if v is not Verdict.FALSE])

    # ---------------------------------------------------------------- building

    def _compile(self, number: int, rule: Rule, routing: set[str]) -> _Compiled:
        compiled = _Compiled(number, rule, self._tree(rule.predicate))
        found = set(tests(rule.predicate))
        compiled.keywords = any(t.field is None for t in found)
        references = [t for t in found if t.op is Op.FIELDREF]
        compiled.references = tuple((self._numbers[t], t) for t in references)
        named = {t.field for t in found if t.op is not Op.FIELDREF and t.field is not None}
        compiled.fields = tuple(sorted(named - routing))
        compiled.needs = self._needs(rule.predicate, routing)
        parts = rule.predicate.parts if isinstance(rule.predicate, And) else (rule.predicate,)
        compiled.routed = [
            self._tree(part)
            for part in parts
            if part != rule.source and all(_routes(t, routing) for t in tests(part))
        ]
        return compiled

    def _tree(self, predicate: Predicate) -> Any:
        """A predicate with the numbers of atoms as its leaves: int, or (kind, parts)."""
        if isinstance(predicate, Test):
            return self._numbers.setdefault(predicate, len(self._numbers))
        if isinstance(predicate, Not):
            return (Not, (self._tree(predicate.part),))
        return (type(predicate), tuple([self._tree(part) for part in predicate.parts]))

    def _needs(self, predicate: Predicate, routing: set[str]) -> frozenset[int] | None:
        """Atoms of which one must be true (or undecided) for the predicate not to be false; None: none."""
        found = needed(predicate, routing)
        return None if found is None else frozenset(self._numbers[t] for t in found[1])

    def _group_by_source(self) -> list[tuple[Any, list[_Compiled]]]:
        groups: dict[Predicate, list[_Compiled]] = {}
        for compiled in self._compiled:
            groups.setdefault(compiled.rule.source, []).append(compiled)
        return [(self._tree(source), members) for source, members in groups.items()]

    def _make_tables(self) -> dict[str | None, FieldTable]:
        by_field: dict[str | None, list[tuple[int, Test]]] = {name: [] for name in self._route_names}
        for test, number in self._numbers.items():
            if test.op is not Op.FIELDREF:
                by_field.setdefault(test.field, []).append((number, test))
        return {name: FieldTable(found, self._budget) for name, found in by_field.items()}

    def _partition(self, route: tuple[Sight, ...]) -> _Partition:
        """The partition for events with this route: rules whose log source and routing tests can hold."""
        partition = _Partition(route)
        true, undecided = set(partition.route.true), partition.route.undecided

        def possible(tree: Any) -> bool:
            return kleene(tree, true, undecided) is not Verdict.FALSE

        rules = [
            c
            for source, group in self._sources
            if possible(source)
            for c in group
            if all(map(possible, c.routed))
        ]
        names: set[str] = set()
        references: dict[int, Test] = {}
        for compiled in rules:
            names.update(compiled.fields)
            references.update(compiled.references)
            partition.keywords = partition.keywords or compiled.keywords
            if compiled.needs is None:
                partition.always.append(compiled)
            else:
                for atom in compiled.needs:
                    partition.needing.setdefault(atom, []).append(compiled)
        partition.names = tuple(sorted(names))
        partition.tables = tuple(self._tables[name] for name in partition.names)
        partition.memos = tuple(table.memo for table in partition.tables)
        partition.references = list(references.items())
        if len(self._partitions) >= PARTITIONS:
            self._partitions.clear()
        self._partitions[route] = partition
        return partition


def _number(compiled: _Compiled) -> int:
    return compiled.number


def _union(sights: Sequence[Sight]) -> Sight:
    true = NONE.union(*[s.true for s in sights])
    return Sight(true, NONE.union(*[s.undecided for s in sights]) - true)


def _routes(test: Test, routing: set[str]) -> bool:
    return test.field in routing and test.op is not Op.FIELDREF


_COST = {Op.NULL: 1000.0, Op.EXISTS: 800.0, Op.EQUALS: 2.0, Op.CIDR: 20.0, Op.REGEX: 10.0, Op.WILDCARD: 5.0}


def _cost(test: Test) -> float:
    """How often a test may be true, roughly: what is rare makes a good gate."""
    if test.op in _COST:
        return _COST[test.op]
    if isinstance(test.operand, str) and test.op is not Op.FIELDREF:
        return 1.0 + 60.0 / (1 + len(test.operand))
    return 100.0


def needed(predicate: Predicate, routing: set[str]) -> tuple[float, set[Test]] | None:
    """The cheapest set of tests of which one must hold for the predicate to hold, with its cost.

    None when it can hold without any. Tests of routing fields do not count: they hold for a whole partition.
    """
    if isinstance(predicate, Test):
        return None if _routes(predicate, routing) else (_cost(predicate), {predicate})
    if isinstance(predicate, Not):
        return None
    found = [needed(part, routing) for part in predicate.parts]
    if isinstance(predicate, And):
        return min((f for f in found if f is not None), key=lambda f: f[0], default=None)
    known = [f for f in found if f is not None]
    if len(known) < len(found):
        return None
    return sum(f[0] for f in known), set().union(*(f[1] for f in known))


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
