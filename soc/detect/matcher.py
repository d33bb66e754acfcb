"""All rules on one event, in one pass, at a cost that hardly grows with their number.

The tests of all rules are numbered once (`soc.detect.atoms`). For an event:

1. *Route.* The fields that log sources ask about (dataset, channel, event id) choose a partition: the
   rules that can apply to such events, worked out when the first of them comes.
2. *See.* Each field that a rule of the partition reads is looked up: what does this value make true?
3. *Decide.* The sights of all fields together are looked up: which rules does that combination fire? Only
   a new combination is worked out, and in it only rules whose gate opens (`soc.detect.gates`).

Steps 2 and 3 are remembered within a bound, so a stream that resembles itself costs a few look-ups an
event. The results are those of `soc.detect.predicate.evaluate`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import Any

from soc.detect.atoms import Budget, FieldTable, Memo
from soc.detect.gates import Gates
from soc.detect.pauses import collection_paused
from soc.detect.predicate import And, Op, Test, Verdict, evaluate_test, tests
from soc.detect.rule import Rule
from soc.detect.seen import NONE, Sight
from soc.detect.trees import Atoms, Tree, Truth, kleene, leaves, truth_of

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
    """A rule in terms of atoms; what it takes to evaluate it is worked out when that is first needed.

    `asks`: its atoms that are regular expressions. `routed`: its parts that have one result for all events
    of a partition; `tree` is the whole.
    """

    __slots__ = ("_truth", "asks", "routed", "tree")

    def __init__(self, tree: Tree, routed: tuple[Tree, ...], asks: frozenset[int]) -> None:
        self.tree = tree
        self.routed = routed
        self.asks = asks
        self._truth: Truth | None = None

    def holds(self, true: set[int]) -> bool:
        """Whether the rule is true, when its routed parts are and nothing is undecided."""
        if self._truth is None:
            self._truth = truth_of(self._rest())
        return self._truth(true)

    def _rest(self) -> Tree:
        if not self.routed:
            return self.tree
        kind, parts = self.tree
        return (kind, tuple(part for part in parts if part not in self.routed))


class _Unit:
    """The rules that one condition on routing fields decides alike, and all that they look at."""

    __slots__ = ("fields", "keywords", "members", "references", "routed")

    def __init__(self, routed: tuple[Tree, ...]) -> None:
        self.routed = routed
        self.members: set[int] = set()
        self.fields: set[str] = set()
        self.references: dict[int, Test] = {}
        self.keywords: set[int] = set()


class _Partition:
    """The rules for events of one kind, and what must be looked at to decide them."""

    __slots__ = (
        "always",
        "keywords",
        "members",
        "memos",
        "names",
        "references",
        "results",
        "route",
        "tables",
    )

    def __init__(self, route: Sight) -> None:
        self.route = route
        self.names: tuple[str, ...] = ()
        self.tables: tuple[FieldTable, ...] = ()
        self.memos: tuple[Memo, ...] = ()
        self.members: set[int] = set()
        self.always: set[int] = set()
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
        self._budget.forgetful.append(self._forget)
        self._rules = [rule for rule in rules if rule.runnable and not rule.blind]
        routing = {t.field for rule in self._rules for t in tests(rule.source) if t.field}
        self._route_names = tuple(sorted(routing))
        self._atoms = Atoms(routing)
        self._units: dict[tuple[Tree, ...], _Unit] = {}
        with collection_paused():
            self._compiled = [self._compile(n, rule) for n, rule in enumerate(self._rules)]
            self._gates = Gates([c.tree for c in self._compiled], self._atoms.costs)
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
        with collection_paused():
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
        sights = [sight for sight in key if sight is not None and not sight.blank]
        self._gates.note(sights)
        opened = self._gates.opened(sights)
        opened &= partition.members
        opened |= partition.always
        found = self._evaluate(partition, sights, sorted(opened)) if opened else ()
        self._combinations += 1
        if self._combinations > COMBINATIONS:
            self._forget()
        partition.results[key] = found
        return found

    def _forget(self) -> None:
        """Drop the remembered combinations."""
        self._combinations = 0
        for partition in self._partitions.values():
            partition.results.clear()

    def _evaluate(
        self, partition: _Partition, sights: Sequence[Sight], numbers: Sequence[int]
    ) -> tuple[Match, ...]:
        """The matches among the rules with these numbers."""
        rules = self._compiled
        asking = [sight for sight in sights if sight.asks]
        if asking:
            wanted = NONE.union(*[rules[number].asks for number in numbers])
            for sight in asking if wanted else ():
                sight.answer(wanted)
        true = set(partition.route.true).union(*[sight.true for sight in sights])
        if partition.route.undecided or any(sight.undecided for sight in sights):
            return self._evaluate_in_doubt([partition.route, *sights], true, numbers)
        out: list[Match] = []
        for number in numbers:
            if rules[number].holds(true):
                out.append(self._matches[number])
            else:
                self._gates.in_vain(number)
        return tuple(out)

    def _evaluate_in_doubt(
        self, sights: Sequence[Sight], true: set[int], numbers: Sequence[int]
    ) -> tuple[Match, ...]:
        undecided = NONE.union(*[sight.undecided for sight in sights]) - true
        verdicts = [(number, kleene(self._compiled[number].tree, true, undecided)) for number in numbers]
        return tuple(
            [Match(self._rules[n], verdict) for n, verdict in verdicts if verdict is not Verdict.FALSE]
        )

    # ---------------------------------------------------------------- building

    def _compile(self, number: int, rule: Rule) -> _Compiled:
        atoms = self._atoms
        tree = atoms.tree(rule.predicate)
        found = set(leaves(tree))
        routed: tuple[Tree, ...] = ()
        if isinstance(rule.predicate, And):
            routed = tuple(part for part in tree[1] if all(atoms.costs[n] is None for n in leaves(part)))
        unit = self._units.get(routed)
        if unit is None:
            unit = self._units[routed] = _Unit(routed)
        unit.members.add(number)
        asks = []
        for atom in found:
            test = atoms.tests[atom]
            if test.op is Op.FIELDREF:
                unit.references[atom] = test
            elif test.field is None:
                unit.keywords.add(atom)
            elif atoms.costs[atom] is not None:
                unit.fields.add(test.field)
            if test.op is Op.REGEX:
                asks.append(atom)
        return _Compiled(tree, routed, frozenset(asks) if asks else NONE)

    def _make_tables(self) -> dict[str, FieldTable]:
        by_field: dict[str, list[tuple[int, Test]]] = {name: [] for name in self._route_names}
        for number, test in enumerate(self._atoms.tests):
            if test.op is not Op.FIELDREF and test.field is not None:
                by_field.setdefault(test.field, []).append((number, test))
        routing = self._atoms.routing
        return {n: FieldTable(found, self._budget, eager=n in routing) for n, found in by_field.items()}

    def _partition(self, route: tuple[Sight, ...]) -> _Partition:
        """The partition for events with this route: rules whose log source and routing tests can hold."""
        partition = _Partition(_union(route))
        true, undecided = set(partition.route.true), partition.route.undecided
        names: set[str] = set()
        keywords: set[int] = set()
        references: dict[int, Test] = {}
        verdicts: dict[Any, bool] = {}

        def possible(part: Tree) -> bool:
            known = verdicts.get(part)
            if known is None:
                known = verdicts[part] = kleene(part, true, undecided) is not Verdict.FALSE
            return known

        for unit in self._units.values():
            if all(map(possible, unit.routed)):
                partition.members |= unit.members
                names |= unit.fields
                keywords |= unit.keywords
                references.update(unit.references)
        partition.always = partition.members & self._gates.ungated
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
            known = self._keywords[atoms] = FieldTable(found, self._budget, eager=True)
        return known


def _union(sights: Sequence[Sight]) -> Sight:
    true = NONE.union(*[s.true for s in sights])
    return Sight(true, NONE.union(*[s.undecided for s in sights]) - true)
