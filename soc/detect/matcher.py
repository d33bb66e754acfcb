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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any

from soc.detect.atoms import NONE, Budget, FieldTable, Memo, Sight
from soc.detect.pauses import collection_paused
from soc.detect.predicate import And, Op, Predicate, Test, Verdict, evaluate_test, tests
from soc.detect.rule import Rule
from soc.detect.trees import Atoms, Truth, kleene, leaves, needed, truth_of

REMEMBERED = 32_000_000
"""Default bound on remembered values, in characters."""

COMBINATIONS = 50_000
"""How many combinations of sights are remembered before they are all forgotten."""

PARTITIONS = 4096
"""How many partitions are kept before they are all forgotten."""


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
        self.keywords: set[int] = set()
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
        self.keywords: FieldTable | None = None
        self.results: dict[tuple[Any, ...], tuple[Match, ...]] = {}


class Matcher:
    """Decides every runnable rule on an event.

    `remembered` bounds what is kept of values seen, in characters (the process uses about four times as
    many bytes for it).
    """

    def __init__(self, rules: Iterable[Rule], *, remembered: int = REMEMBERED) -> None:
        self._budget = Budget(remembered)
        self._rules = [rule for rule in rules if rule.runnable and not rule.blind]
        routing = {t.field for rule in self._rules for t in tests(rule.source) if t.field}
        self._route_names = tuple(sorted(routing))
        self._atoms = Atoms(routing)
        with collection_paused():
            self._compiled = [self._compile(n, rule) for n, rule in enumerate(self._rules)]
            self._sources = self._group_by_source()
            self._tables = self._make_tables()
        self._route_memos = tuple(self._tables[name].memo for name in self._route_names)
        self._keywords: dict[frozenset[int], FieldTable] = {}
        self._partitions: dict[tuple[Sight, ...], _Partition] = {}
        self._combinations = 0
        numbered = enumerate(self._atoms.tests)
        self._referred = {n: Sight(frozenset((n,))) for n, test in numbered if test.op is Op.FIELDREF}
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
        if partition.references or partition.keywords is not None:
            key = (*key, *self._beyond_fields(partition, event))
        found = partition.results.get(key)
        return self._decide(partition, key) if found is None else found

    def _beyond_fields(self, partition: _Partition, event: Mapping[str, Any]) -> list[Any]:
        """What is true of the event as a whole: keywords, and references between fields."""
        out: list[Any] = []
        if partition.keywords is not None:
            out.append(partition.keywords.anywhere(event))
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

    def _compile(self, number: int, rule: Rule) -> _Compiled:
        atoms = self._atoms
        tree = atoms.tree(rule.predicate)
        compiled = _Compiled(number, rule, tree)
        names: set[str] = set()
        for atom in set(leaves(tree)):
            test = atoms.tests[atom]
            if test.op is Op.FIELDREF:
                compiled.references += ((atom, test),)
            elif test.field is None:
                compiled.keywords.add(atom)
            elif atoms.costs[atom] is not None:
                names.add(test.field)
        compiled.fields = tuple(names)
        gate = needed(tree, atoms.costs)
        compiled.needs = None if gate is None else gate[1]
        if isinstance(rule.predicate, And) and rule.predicate.parts[:1] == (rule.source,):
            compiled.routed = [
                part for part in tree[1][1:] if all(atoms.costs[n] is None for n in leaves(part))
            ]
        return compiled

    def _group_by_source(self) -> list[tuple[Any, list[_Compiled]]]:
        groups: dict[Predicate, list[_Compiled]] = {}
        for compiled in self._compiled:
            groups.setdefault(compiled.rule.source, []).append(compiled)
        return [(self._atoms.tree(source), members) for source, members in groups.items()]

    def _make_tables(self) -> dict[str, FieldTable]:
        by_field: dict[str, list[tuple[int, Test]]] = {name: [] for name in self._route_names}
        for number, test in enumerate(self._atoms.tests):
            if test.op is not Op.FIELDREF and test.field is not None:
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
        keywords: set[int] = set()
        references: dict[int, Test] = {}
        for compiled in rules:
            names.update(compiled.fields)
            references.update(compiled.references)
            keywords |= compiled.keywords
            if compiled.needs is None:
                partition.always.append(compiled)
            else:
                for atom in compiled.needs:
                    partition.needing.setdefault(atom, []).append(compiled)
        partition.names = tuple(sorted(names))
        partition.tables = tuple(self._tables[name] for name in partition.names)
        partition.memos = tuple(table.memo for table in partition.tables)
        partition.references = list(references.items())
        partition.keywords = self._keyword_table(frozenset(keywords)) if keywords else None
        if len(self._partitions) >= PARTITIONS:
            self._partitions.clear()
        self._partitions[route] = partition
        return partition

    def _keyword_table(self, atoms: frozenset[int]) -> FieldTable:
        """One table for the tests without a field of a partition; partitions with the same tests share it."""
        known = self._keywords.get(atoms)
        if known is None:
            found = [(atom, self._atoms.tests[atom]) for atom in sorted(atoms)]
            known = self._keywords[atoms] = FieldTable(found, self._budget)
        return known


def _number(compiled: _Compiled) -> int:
    return compiled.number


def _union(sights: Sequence[Sight]) -> Sight:
    true = NONE.union(*[s.true for s in sights])
    return Sight(true, NONE.union(*[s.undecided for s in sights]) - true)
